"""Dead letters as operators list, search and see them, and what they do with them.

What came from outside (bytes, headers, URLs, prompts, metadata, receivers' answers) is in `Revealed` alone. Error
messages are Darkroom's own, or an exception's text from which the render process removed the prompt.
"""

from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from darkroom_contracts.api.jobs import JobError, Timestamp
from darkroom_contracts.states import (
    AttemptOutcome,
    DeliveryOutcome,
    DeliveryStatus,
    EndpointStatus,
    JobStatus,
    LetterKind,
    LetterStatus,
)

MAX_LETTERS = 200
"""Most dead letters in a page."""
MAX_NAMED = 1000
"""Most dead letters that a scope names by id."""
MAX_DISCARDED = 10_000
"""Most dead letters that one request discards."""
MAX_REVEALED_BYTES = 4 * 1024 * 1024
"""Most bytes of a message that are revealed."""

Term = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
"""A value to look for. Without NUL, which Postgres refuses."""
Reason = Annotated[
    str, Meta(min_length=1, max_length=1000, pattern=r"^[^\x00]*$", description="Why, for the audit log.")
]
_ANY = {"default": "any"}


class LetterFilter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which dead letters are meant: those that match every given field."""

    kind: Annotated[LetterKind | None, Meta(description="Only of this kind.", extra=_ANY)] = None
    model: Annotated[Term | None, Meta(description="Only of jobs of this model.", extra=_ANY)] = None
    tenant: Annotated[Term | None, Meta(description="Only of the tenant of this name.", extra=_ANY)] = None
    reason: Annotated[Term | None, Meta(description="Only with this code.", extra=_ANY)] = None
    fingerprint: Annotated[Term | None, Meta(description="Only failures of this kind.", extra=_ANY)] = None
    group: Annotated[UUID | None, Meta(description="Only of this group.", extra=_ANY)] = None
    worker: Annotated[
        Term | None, Meta(description="Only of jobs whose last attempt was this worker's.", extra=_ANY)
    ] = None
    job: Annotated[UUID | None, Meta(description="Only of this job.", extra=_ANY)] = None
    created_after: Annotated[Timestamp | None, Meta(description="Only recorded at or after.", extra=_ANY)] = None
    created_before: Annotated[Timestamp | None, Meta(description="Only recorded before.", extra=_ANY)] = None
    text: Annotated[
        Term | None,
        Meta(
            description="Only with this text in the error's message; `#` stands for any number, id or path. A UUID"
            " finds the dead letters with that id, and those of that job, delivery or group.",
            extra=_ANY,
        ),
    ] = None


class DeadLetterExportQuery(LetterFilter, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The query of an export."""

    status: Annotated[
        Literal["open", "replaying", "replayed", "discarded", "any"], Meta(description="Only with this status.")
    ] = "open"


class DeadLetterQuery(DeadLetterExportQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The query of a list of dead letters. A filter that nothing matches gives an empty list."""

    limit: Annotated[int, Meta(ge=1, le=MAX_LETTERS, description="Most dead letters of the page.")] = 50
    cursor: Annotated[
        Annotated[str, Meta(max_length=100)] | None,
        Meta(description="`next_cursor` of the page before this one.", extra={"default": "the newest"}),
    ] = None


class LetterScope(LetterFilter, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which open dead letters an act is for: at least one field must be given.

    Orphans are left out unless `kind` or `ids` names them, and dead letters that came back twice before unless `ids`
    does.
    """

    ids: Annotated[
        Annotated[list[UUID], Meta(min_length=1, max_length=MAX_NAMED)] | None,
        Meta(description="Only these dead letters.", extra=_ANY),
    ] = None


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter: a job that failed, a message without a job, or a webhook that was given up."""

    id: Annotated[UUID, Meta(description="Its id, a UUIDv7: ids are ordered by time.")]
    kind: Annotated[
        LetterKind,
        Meta(description="`job`, `undecodable`, `orphan` (its job is unknown) or `webhook` (it was given up)."),
    ]
    status: Annotated[LetterStatus, Meta(description="`open` until it is replayed or discarded.")]
    group_id: Annotated[UUID, Meta(description="Group of the dead letters of one kind, model and fingerprint.")]
    tenant: Annotated[str | None, Meta(description="Name of the tenant, if it is known.")] = None
    model: Annotated[str | None, Meta(description="Model of the job, if it is known.")] = None
    job_id: Annotated[UUID | None, Meta(description="The job, if it is known.")] = None
    generation: Annotated[int | None, Meta(description="Generation of the job that failed.")] = None
    delivery_id: Annotated[UUID | None, Meta(description="The webhook delivery that was given up.")] = None
    worker: Annotated[str | None, Meta(description="Worker of the last attempt, if there was one.")] = None
    session_id: Annotated[UUID | None, Meta(description="Session of that worker.")] = None
    reason: Annotated[str, Meta(description="Code of the error.")]
    error: Annotated[JobError, Meta(description="The error.")]
    fingerprint: Annotated[str, Meta(description="Equal for failures of the same kind.")]
    returns: Annotated[int, Meta(description="Earlier dead letters of the same job or delivery.")]
    body_bytes: Annotated[int | None, Meta(description="Size of the message; null if none is kept.")] = None
    created_at: Annotated[Timestamp, Meta(description="When it was recorded.")]
    resolved_at: Annotated[Timestamp | None, Meta(description="When it was discarded, or its replay ended.")] = None


class DeadLetterList(msgspec.Struct, frozen=True):
    """A page of dead letters.

    A page looks at a bounded number of dead letters. With filters it can therefore be short, or empty, though more
    follow: `next_cursor` alone says whether they do.
    """

    dead_letters: Annotated[list[DeadLetter], Meta(description="The newest first.")]
    next_cursor: Annotated[
        str | None, Meta(description="`cursor` of the next page; null on the last one. Its content has no meaning.")
    ] = None


class FailedAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt of a dead letter's job, in any generation, and where it ran. A refunded attempt's number recurs."""

    generation: Annotated[int, Meta(description="Generation of the job.")]
    attempt: Annotated[int, Meta(description="Counted from 1 in each generation.")]
    started_at: Annotated[Timestamp, Meta(description="When the worker claimed the job.")]
    ended_at: Annotated[Timestamp | None, Meta(description="When it ended; null while it runs.")] = None
    outcome: Annotated[AttemptOutcome | None, Meta(description="How it ended.")] = None
    refunded: Annotated[bool, Meta(description="Whether it did not count.")]
    error: Annotated[JobError | None, Meta(description="Why it failed.")] = None
    worker: Annotated[str, Meta(description="Name of the worker.")]
    session_id: Annotated[UUID | None, Meta(description="Session of the worker.")] = None
    device: Annotated[str | None, Meta(description="Device of the session, such as `cuda:0`.")] = None
    gpu_id: Annotated[str | None, Meta(description="Id of its GPU.")] = None
    model_revision: Annotated[str | None, Meta(description="Revision of the model that it had loaded.")] = None
    versions: Annotated[dict[str, str] | None, Meta(description="Versions of its libraries.")] = None


class FailedDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt of a dead letter's webhook delivery. Times in milliseconds."""

    number: Annotated[int, Meta(description="Counted from 1.")]
    started_at: Annotated[Timestamp, Meta(description="When it was logged, before it was sent.")]
    ended_at: Annotated[Timestamp | None, Meta(description="When it ended.")] = None
    outcome: Annotated[DeliveryOutcome | None, Meta(description="How it ended.")] = None
    status_code: Annotated[int | None, Meta(description="HTTP status of the receiver's response.")] = None
    total_ms: Annotated[float | None, Meta(description="Milliseconds of the attempt.")] = None
    error: Annotated[str | None, Meta(description="Why it failed.")] = None


class DeliveryState(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter's webhook delivery as it is now."""

    status: Annotated[DeliveryStatus, Meta(description="Its status.")]
    event: Annotated[str, Meta(description="Type of the event.")]
    endpoint_id: Annotated[UUID, Meta(description="Its endpoint.")]
    endpoint_status: Annotated[EndpointStatus | None, Meta(description="Null if the endpoint was removed.")] = None
    endpoint_deleted: Annotated[bool, Meta(description="Whether the endpoint was deleted.")]
    next_attempt_at: Annotated[Timestamp | None, Meta(description="When the next attempt is due.")] = None
    attempts_made: Annotated[int, Meta(description="Attempts so far.")]
    attempts: Annotated[list[FailedDelivery], Meta(description="The latest of them, the first one first.")]


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody did with a dead letter."""

    at: Annotated[Timestamp, Meta(description="When.")]
    actor: Annotated[str, Meta(description="Id of the API key, or `command:` and a user.")]
    action: Annotated[str, Meta(description="What, such as `dead_letter.replay`.")]
    reason: Annotated[str | None, Meta(description="Why.")] = None


class DeadLetterDetail(DeadLetter, frozen=True, kw_only=True):
    """A dead letter with everything that is not hidden. Looking at it changes nothing."""

    job_status: Annotated[JobStatus | None, Meta(description="The job's status now; null without a job.")] = None
    job_generation: Annotated[int | None, Meta(description="The job's generation now.")] = None
    job_deleted: Annotated[bool, Meta(description="Whether its tenant deleted the job.")] = False
    attempts: Annotated[list[FailedAttempt], Meta(description="The job's attempts, the latest last.")]
    delivery: Annotated[DeliveryState | None, Meta(description="The webhook delivery, if it is kept.")] = None
    acts: Annotated[list[Act], Meta(description="The latest acts, the latest last.")]


class RevealRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why the hidden parts of a dead letter are to be shown."""

    reason: Reason


class RevealedAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """The hidden parts of an attempt."""

    generation: Annotated[int | None, Meta(description="Of the job; null for a webhook.")] = None
    attempt: Annotated[int, Meta(description="Number of the attempt.")]
    cause: Annotated[str | None, Meta(description="The cause, as the failing part reported it.")] = None
    last_lines: Annotated[list[str], Meta(description="Last lines of the render process.")] = []
    response: Annotated[
        bytes | None, Meta(description="The beginning of the receiver's answer, base64; null without one.")
    ] = None


class Revealed(msgspec.Struct, frozen=True, kw_only=True):
    """The hidden parts of a dead letter. Everything here may come from outside: show it as text, never as markup."""

    id: Annotated[UUID, Meta(description="The dead letter.")]
    body: Annotated[
        bytes | None,
        Meta(description=f"The message's exact bytes, base64; at most the first {MAX_REVEALED_BYTES}."),
    ] = None
    body_bytes: Annotated[int | None, Meta(description="Size of the whole message.")] = None
    text: Annotated[str | None, Meta(description="The whole message, if it is text in UTF-8 of at most that size.")] = (
        None
    )
    message: Annotated[Any, Meta(description="The decoded message, if it is a render message.")] = None
    headers: Annotated[Any, Meta(description="Headers of the message.")] = None
    x_death: Annotated[Any, Meta(description="The broker's record of the message's death.")] = None
    input: Annotated[Any, Meta(description="The job's input as submitted.")] = None
    overrides: Annotated[Any, Meta(description="Edits of the job's input.")] = None
    metadata: Annotated[Any, Meta(description="The job's metadata.")] = None
    url: Annotated[str | None, Meta(description="URL of the job's webhook, or of the delivery.")] = None
    attempts: Annotated[list[RevealedAttempt], Meta(description="Attempts with hidden parts, the latest last.")] = []


class DiscardRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a dead letter is discarded."""

    reason: Reason


class RestoreRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a dead letter is opened again."""

    reason: Reason


class BulkDiscardRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which dead letters to discard, how many they are, and why."""

    scope: LetterScope
    reason: Reason
    count: Annotated[
        Annotated[int, Meta(ge=0, le=2**62)] | None,
        Meta(
            description="Number of open dead letters of the scope, as a dry run reported it. With another number"
            " nothing is done.",
            extra={"default": "none, for a dry run"},
        ),
    ] = None
    dry_run: Annotated[bool, Meta(description="Only count.")] = False


class BulkDiscardReply(msgspec.Struct, frozen=True, kw_only=True):
    """What a bulk discard did, or would do."""

    count: Annotated[int, Meta(description="Open dead letters of the scope, before.")]
    discarded: Annotated[int, Meta(description=f"How many are discarded now, at most {MAX_DISCARDED} a request.")]
    remaining: Annotated[int, Meta(description="`count` of the next request, if it is not 0.")]
    left_out: Annotated[
        int,
        Meta(description="Further ones that match, left out since they are orphans or came back twice before."),
    ]
