"""Bodies of the operators' routes of workers."""

from enum import StrEnum
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from darkroom_contracts.api.dead_letters import Reason, Term
from darkroom_contracts.api.jobs import Timestamp

_ANY = {"default": "any"}


class WorkerState(StrEnum):
    """What a worker does."""

    STARTING = "starting"
    """It loads its model."""
    IDLE = "idle"
    BUSY = "busy"
    PAUSED = "paused"
    """It has no job, and its model is paused."""
    DRAINING = "draining"
    """It finishes its jobs and takes no other."""
    DRAINED = "drained"
    """It has no job and takes none, until it is resumed or stopped."""
    SILENT = "silent"
    """It sent no heartbeat for a lease; its jobs go back to the queue."""
    LOST = "lost"
    """It was silent for so long that its session was ended."""


class WorkerQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which workers to list."""

    worker: Annotated[Term | None, Meta(description="Only the worker of this name.", extra=_ANY)] = None
    model: Annotated[Term | None, Meta(description="Only workers of this model.", extra=_ANY)] = None


class WorkerJob(msgspec.Struct, frozen=True):
    """A job that a worker holds."""

    id: Annotated[UUID, Meta(description="Id of the job.")]
    attempt: Annotated[int, Meta(description="Number of the attempt.")]
    started_at: Annotated[Timestamp, Meta(description="When the worker claimed it.")]
    step: Annotated[int | None, Meta(description="The last step of the last heartbeat; null before the first.")]
    steps: Annotated[int | None, Meta(description="Steps of the whole job.")]


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """A worker, in the session that is open or was lost."""

    worker: Annotated[str, Meta(description="Name of the worker.")]
    state: Annotated[WorkerState, Meta(description="What it does.")]
    model: Annotated[str, Meta(description="Model that it renders with.")]
    session_id: Annotated[UUID, Meta(description="Id of its session, which its attempts name.")]
    device: Annotated[str | None, Meta(description="Name of its GPU, or `cpu`; null until the model is warm.")]
    gpu_id: Annotated[str | None, Meta(description="UUID of its GPU.")]
    model_revision: Annotated[str | None, Meta(description="Digest of the model's files.")]
    memory_bytes: Annotated[int | None, Meta(description="Memory that the warm model holds between jobs.")]
    versions: Annotated[dict[str, str], Meta(description="Versions of the libraries that affect pictures.")]
    started_at: Annotated[Timestamp | None, Meta(description="When its session began; null for a lost worker.")]
    last_beat_at: Annotated[Timestamp, Meta(description="Its last heartbeat.")]
    drain_requested_at: Annotated[Timestamp | None, Meta(description="Since when it is to take no other job.")]
    jobs: Annotated[
        tuple[WorkerJob, ...],
        Meta(description="The jobs that it holds: one renders, another may be stored or claimed ahead."),
    ]
    outcomes: Annotated[
        dict[str, int],
        Meta(
            description="Its attempts of the last hour by outcome, among the newest 10,000 of all workers: `succeeded`,"
            " `failed`, `retried`, `lost`, `released`, `canceled`, `expired`."
        ),
    ]
    errors: Annotated[dict[str, int], Meta(description="Those of them that failed, by the code of their error.")]


class WorkerList(msgspec.Struct, frozen=True):
    """The workers."""

    workers: Annotated[tuple[Worker, ...], Meta(description="By name; at most 5,000.")]


class DrainRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A drain of a worker."""

    reason: Reason


class DrainReply(msgspec.Struct, frozen=True):
    """What was asked of a worker, which obeys with its next heartbeat."""

    worker: Annotated[str, Meta(description="Name of the worker.")]
    drain_requested_at: Annotated[Timestamp | None, Meta(description="Since when it is to take no other job, if so.")]
    changed: Annotated[bool, Meta(description="Whether that was asked of it now.")]
