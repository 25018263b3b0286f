"""Groups of dead letters as operators see them: how many, since when, and what their letters have in common."""

from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from darkroom_contracts.api.jobs import Timestamp
from darkroom_contracts.states import LetterKind

MAX_GROUPS = 100
"""Most groups in a page."""
HOURS = 24
"""Hours of which each group has a count."""

_Text = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
_ANY = {"default": "any"}


class DeadLetterGroupQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The query of a list of groups. A filter that nothing matches gives an empty list."""

    kind: Annotated[LetterKind | None, Meta(description="Only of this kind.", extra=_ANY)] = None
    model: Annotated[_Text | None, Meta(description="Only of jobs of this model.", extra=_ANY)] = None
    status: Annotated[
        Literal["open", "closed"] | None,
        Meta(description="`open` for groups with open dead letters, `closed` for all others.", extra=_ANY),
    ] = None
    text: Annotated[
        _Text | None,
        Meta(
            description="Only with this text in the code or message of the error; `#` stands for any number, id or"
            " path.",
            extra=_ANY,
        ),
    ] = None
    limit: Annotated[int, Meta(ge=1, le=MAX_GROUPS, description="Most groups of the page.")] = 50
    cursor: Annotated[
        Annotated[str, Meta(max_length=100)] | None,
        Meta(description="`next_cursor` of the page before this one.", extra={"default": "the first page"}),
    ] = None


class GroupNote(msgspec.Struct, frozen=True):
    """What an operator noted about a group."""

    text: Annotated[str, Meta(description="The note.")]
    by: Annotated[str, Meta(description="Id of the API key that wrote it.")]
    at: Annotated[Timestamp, Meta(description="When it was written.")]
    known_until: Annotated[Timestamp | None, Meta(description="Until when the failure is expected.")] = None


class GroupNoteRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a request that writes or removes a group's note."""

    text: Annotated[
        Annotated[str, Meta(min_length=1, max_length=2000, pattern=r"^[^\x00]*$")] | None,
        Meta(description="The note; null removes it."),
    ]
    known_until: Annotated[
        Timestamp | None, Meta(description="Until when the failure is expected; only with a text.")
    ] = None


class DeadLetterGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Dead letters of one kind, model and fingerprint."""

    id: Annotated[UUID, Meta(description="`group_id` of its dead letters.")]
    kind: Annotated[LetterKind, Meta(description="Kind of its dead letters.")]
    model: Annotated[str | None, Meta(description="Model of their jobs.")] = None
    reason: Annotated[str, Meta(description="Code of their error.")]
    stage: Annotated[str | None, Meta(description="Where it occurred.")] = None
    message: Annotated[str | None, Meta(description="Message of the error of one of them.")] = None
    fingerprint: Annotated[str, Meta(description="Equal for failures of the same kind.")]
    open: Annotated[int, Meta(description="How many of them are open.")]
    total: Annotated[int, Meta(description="How many there were since the group appeared.")]
    first_seen_at: Annotated[Timestamp, Meta(description="Time of the first one.")]
    last_seen_at: Annotated[Timestamp, Meta(description="Time of the newest one.")]
    hours: Annotated[
        list[int], Meta(description="How many were recorded in each of the last 24 hours (UTC), the current hour last.")
    ]
    note: Annotated[GroupNote | None, Meta(description="An operator's note.")] = None


class DeadLetterGroupList(msgspec.Struct, frozen=True):
    """A page of groups.

    A page looks at a bounded number of groups. With filters it can therefore be short, or empty, though more follow:
    `next_cursor` alone says whether they do.
    """

    groups: Annotated[
        list[DeadLetterGroup], Meta(description="Groups with open dead letters first, then those with the newest ones.")
    ]
    as_of: Annotated[Timestamp, Meta(description="Up to when dead letters are counted.")]
    next_cursor: Annotated[
        str | None, Meta(description="`cursor` of the next page; null on the last one. Its content has no meaning.")
    ] = None


class SuspectKind(StrEnum):
    WORKER = "worker"
    GPU = "gpu"
    MODEL_REVISION = "model_revision"
    VERSIONS = "versions"
    SCHEDULER = "scheduler"
    SIZE = "size"


class Suspect(msgspec.Struct, frozen=True, kw_only=True):
    """A property of dead letters, and how common it is among them and among all attempts of the same hours."""

    kind: Annotated[
        SuspectKind, Meta(description="`worker`, `gpu`, `model_revision`, `versions`, `scheduler` or `size`.")
    ]
    value: Annotated[str, Meta(description="Its value, such as the worker's name, or `512x512`.")]
    letters: Annotated[int, Meta(description="Examined dead letters that have it.")]
    share: Annotated[float, Meta(description="Their share of the examined dead letters, 0 to 1.")]
    attempts: Annotated[int, Meta(description="Attempts in the sample that have it.")]
    usual_share: Annotated[
        float | None, Meta(description="Their share of the attempts in the sample; null if the sample is empty.")
    ] = None
    first_seen_at: Annotated[Timestamp, Meta(description="Time of the first examined dead letter that has it.")]
    last_seen_at: Annotated[Timestamp, Meta(description="Time of the newest one.")]


class DeadLetterGroupDetail(DeadLetterGroup, frozen=True, kw_only=True):
    """A group, and what its dead letters have in common."""

    as_of: Annotated[Timestamp, Meta(description="Up to when dead letters are counted.")]
    suspects: Annotated[
        list[Suspect],
        Meta(description="Those first that are more common among the dead letters than usual. Only of kind `job`."),
    ]
    examined: Annotated[int, Meta(description="Examined dead letters: the newest, at most 10,000.")]
    sampled: Annotated[
        int, Meta(description="Attempts of the same model and hours that they are compared with: a sample.")
    ]
