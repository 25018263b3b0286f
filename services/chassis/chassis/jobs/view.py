"""The public view of a job, which is the same in every response, event and webhook."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from msgspec.structs import replace

from chassis.jobs.row import JobRow
from darkroom_contracts.api import EventJob, Job, JobProgress, KeptOutput, Output
from darkroom_contracts.messages.v1 import Progress
from darkroom_contracts.objects import StoredOutput
from darkroom_contracts.routes import job_urls, output_path
from darkroom_contracts.states import JobStatus

ViewT = TypeVar("ViewT", Job, EventJob)


class SignedPath(NamedTuple):
    """Path and query of a presigned GET URL, which the edge serves under each of its names."""

    path: str
    expires_at: datetime


class Outlook(NamedTuple):
    """When a waiting job may start; both are None for any other job."""

    position: int | None = None
    """Jobs of the model that wait before it."""
    estimated_start_at: datetime | None = None


def job_view(
    row: JobRow,
    *,
    outlook: Outlook | None = None,
    live: Progress | None = None,
    signed: Sequence[SignedPath] = (),
    origin: str = "",
) -> Job:
    """Return the whole job.

    `live` is the latest reported step of the current attempt, where there is one. `signed` are the paths of the row's
    outputs, in their order. `origin` makes the pictures' links absolute.
    """
    outputs = [
        Output(**_kept(row, stored, origin), url=origin + each.path, url_expires_at=each.expires_at)
        for stored, each in zip(row.outputs, signed, strict=True)
    ]
    return _view(Job, row, outputs, outlook or Outlook(), live)


def event_view(row: JobRow, origin: str = "") -> EventJob:
    """Return the whole job as a webhook shows it: without what expires."""
    outputs = [KeptOutput(**_kept(row, stored, origin)) for stored in row.outputs]
    return _view(EventJob, row, outputs, Outlook(), None)


def _view(shape: type[ViewT], row: JobRow, outputs: list[Any], outlook: Outlook, live: Progress | None) -> ViewT:
    """Return the view, which differs from others in its outputs."""
    return shape(
        id=row.id,
        status=row.status,
        version=row.version,
        model=row.model,
        input=row.input,
        edits=row.edits,
        created_at=row.created_at,
        queued_at=row.queued_at,
        started_at=row.started_at,
        completed_at=row.completed_at,
        expires_at=row.expires_at,
        deadline_at=row.deadline_at,
        queue_position=outlook.position,
        estimated_start_at=outlook.estimated_start_at,
        attempt=row.attempt,
        max_attempts=row.max_attempts,
        generation=row.generation,
        next_attempt_at=row.next_attempt_at,
        worker_session=row.session_id,
        progress=progress_of(row, live),
        outputs=outputs,
        outputs_removed_at=row.outputs_removed_at,
        error=row.error,
        dead_lettered=row.dead_lettered,
        receipt=row.receipt,
        metrics=replace(row.metrics, queue_ms=_milliseconds(row.queued_at, row.started_at)),
        metadata=row.metadata,
        user_id=row.user_id,
        retried_from=row.retried_from,
        urls=job_urls(row.id),
    )


def progress_of(row: JobRow, live: Progress | None) -> JobProgress | None:
    """Return the progress, or None for a job that waits or never began.

    A running job shows the later step of its row and of `live`.
    """
    if row.status == JobStatus.QUEUED or row.started_at is None:
        return None
    step, steps = row.step or 0, row.steps or row.input.num_inference_steps
    if row.status == JobStatus.SUCCEEDED:
        return JobProgress(steps, steps, 1.0)
    if row.status == JobStatus.RUNNING and live and live.step > step:
        step, steps = live.step, live.steps
    return JobProgress(step, steps, min(1.0, step / steps))


def _kept(row: JobRow, stored: StoredOutput, origin: str) -> dict[str, Any]:
    return {
        "index": stored.index,
        "content_type": stored.content_type,
        "width": stored.width,
        "height": stored.height,
        "size_bytes": stored.size_bytes,
        "sha256": stored.sha256,
        "seed": stored.seed,
        "link": origin + output_path(row.id, stored.index),
    }


def _milliseconds(queued_at: datetime, started_at: datetime | None) -> float | None:
    """Return None unless an attempt has started since the job was last queued."""
    if started_at is None or started_at < queued_at:
        return None
    return (started_at - queued_at).total_seconds() * 1000
