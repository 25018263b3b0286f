"""A job as every response, event and webhook shows it."""

from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

import msgspec
from msgspec import Meta

from darkroom_contracts.api.inputs import JobInput
from darkroom_contracts.api.receipts import Receipt
from darkroom_contracts.states import JobStatus

Timestamp = Annotated[datetime, Meta(tz=True)]
InputT = TypeVar("InputT")
OutputT = TypeVar("OutputT")


class JobProgress(msgspec.Struct, frozen=True):
    """How far the render of a job is."""

    step: Annotated[int, Meta(description="Steps that are done, of all pictures together.")]
    steps: Annotated[int, Meta(description="Steps of all pictures together.")]
    value: Annotated[float, Meta(description="Between 0 and 1.")]


class KeptOutput(msgspec.Struct, frozen=True, kw_only=True):
    """A stored picture with the link that does not expire, as webhooks show it."""

    index: Annotated[int, Meta(description="Counted from 0.")]
    content_type: Annotated[str, Meta(description="Media type of the file.")]
    width: Annotated[int, Meta(description="Pixels.")]
    height: Annotated[int, Meta(description="Pixels.")]
    size_bytes: Annotated[int, Meta(description="Size of the file.")]
    sha256: Annotated[str, Meta(description="Hexadecimal digest of the stored file.")]
    seed: Annotated[int, Meta(description="Seed of this picture.")]
    link: Annotated[
        str, Meta(description="Redirects to a fresh presigned URL as long as the picture is kept; needs the API key.")
    ]


class Output(KeptOutput, frozen=True, kw_only=True):
    """A stored picture with its presigned URL."""

    url: Annotated[str, Meta(description="Presigned: opens without a key until `url_expires_at`.")]
    url_expires_at: Annotated[Timestamp, Meta(description="When `url` expires; `link` gives a new one.")]


class JobError(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a job, or its latest attempt, failed.

    `code` and `stage` are read as any string, so that a later version may add one: see JobErrorCode and Stage.
    """

    code: Annotated[str, Meta(description="A stable code, see the table of codes.")]
    message: Annotated[str, Meta(description="The reason, for people.")]
    retryable: Annotated[bool, Meta(description="Whether the same input may succeed in another attempt.")]
    stage: Annotated[
        str | None, Meta(description="Where it failed: `queue`, `claim`, `render`, `store` or `delivery`.")
    ] = None
    step: Annotated[int | None, Meta(description="The last step that was done, if the render had begun.")] = None
    steps: Annotated[int | None, Meta(description="Steps of the render.")] = None


class JobMetrics(msgspec.Struct, frozen=True):
    """Durations of the latest attempt."""

    queue_ms: Annotated[
        float | None, Meta(description="Milliseconds that the job waited since it was last queued.")
    ] = None
    inference_ms: Annotated[float | None, Meta(description="Milliseconds in the pipeline.")] = None
    store_ms: Annotated[float | None, Meta(description="Milliseconds to store the pictures.")] = None


class JobUrls(msgspec.Struct, frozen=True):
    """Paths of a job's routes."""

    self: Annotated[str, Meta(description="Path of the job.")]
    cancel: Annotated[str, Meta(description="Path that cancels it.")]
    retry: Annotated[str, Meta(description="Path that retries it.")]


class JobView(msgspec.Struct, Generic[InputT, OutputT], frozen=True, kw_only=True):
    """The public view of a job: the same fields in every response, event and webhook."""

    id: Annotated[UUID, Meta(description="Identifies the job; ids are UUIDv7, ordered by the time of submission.")]
    status: Annotated[JobStatus, Meta(description="A job that waits for another attempt is `queued` too.")]
    version: Annotated[int, Meta(description="Rises with every change of state.")] = 1
    model: Annotated[str, Meta(description="Model that renders the job.")]
    input: Annotated[InputT, Meta(description="What is rendered, with every value settled.")]
    edits: Annotated[
        dict[str, Any] | None,
        Meta(
            description="Changes that an operator made for a replay: `model` and fields of `input`, which already"
            " include them."
        ),
    ] = None
    created_at: Annotated[Timestamp, Meta(description="When the job was accepted.")]
    queued_at: Annotated[Timestamp, Meta(description="When the job was last queued.")]
    started_at: Annotated[Timestamp | None, Meta(description="When its latest attempt started.")] = None
    completed_at: Annotated[Timestamp | None, Meta(description="When it ended.")] = None
    expires_at: Annotated[Timestamp, Meta(description="When it expires, if it has not started by then.")]
    deadline_at: Annotated[Timestamp | None, Meta(description="When it expires, if it is not rendered by then.")] = None
    queue_position: Annotated[
        int | None,
        Meta(
            description="Number of the model's jobs that wait before this one; exact up to 1,000 and a few seconds old"
            " beyond. Null unless queued."
        ),
    ] = None
    estimated_start_at: Annotated[
        Timestamp | None, Meta(description="When its turn is expected, from the pace of the last ten minutes.")
    ] = None
    attempt: Annotated[int, Meta(description="Attempts in this generation, the current one included.")] = 0
    max_attempts: Annotated[int, Meta(description="Most attempts in a generation.")]
    generation: Annotated[int, Meta(description="Rises with every replay.")] = 1
    next_attempt_at: Annotated[
        Timestamp | None, Meta(description="When a job that waits for another attempt is due.")
    ] = None
    worker_session: Annotated[
        UUID | None,
        Meta(
            description="Session of the worker that ran the latest attempt; operators find worker, GPU and versions by"
            " it."
        ),
    ] = None
    progress: Annotated[JobProgress | None, Meta(description="How far the render is; null while the job waits.")] = None
    outputs: Annotated[list[OutputT], Meta(description="The pictures.")] = []
    outputs_removed_at: Annotated[
        Timestamp | None,
        Meta(
            description="When the pictures were removed because of their age; `outputs` is then empty, and the receipt"
            " stays."
        ),
    ] = None
    error: Annotated[JobError | None, Meta(description="Why the job, or its latest attempt, failed.")] = None
    dead_lettered: Annotated[
        bool, Meta(description="Whether the failed job has a dead letter, from which an operator can replay it.")
    ] = False
    receipt: Annotated[Receipt | None, Meta(description="What rendered the pictures.")] = None
    metrics: Annotated[JobMetrics, Meta(description="Durations of the latest attempt.")] = JobMetrics()
    metadata: Annotated[dict[str, str], Meta(description="As submitted.")] = {}
    user_id: Annotated[str | None, Meta(description="As submitted.")] = None
    retried_from: Annotated[UUID | None, Meta(description="The job that this one repeats.")] = None
    urls: Annotated[JobUrls, Meta(description="Paths of the job's endpoints.")]


class Job(JobView[JobInput, Output], frozen=True, kw_only=True):
    """A job as responses and live events show it."""


class EventJob(JobView[JobInput | None, KeptOutput], frozen=True, kw_only=True):
    """A job as webhooks show it: without presigned URLs; `input` is null where it was left out."""


class CancelReply(msgspec.Struct, frozen=True):
    """A job after a request to cancel it."""

    id: Annotated[UUID, Meta(description="The job.")]
    status: Annotated[
        JobStatus,
        Meta(
            description="`running` until the worker has stopped the render, within a step; a render that is finished by"
            " then may win."
        ),
    ]
    cancel_requested_at: Annotated[Timestamp | None, Meta(description="When a cancel was first requested.")] = None
