"""From the row to the job that a client sees."""

from datetime import datetime

from msgspec.structs import replace

from darkroom_contracts.api import Job, JobProgress, Output
from darkroom_contracts.messages.v1 import Progress
from darkroom_contracts.objects import StoredOutput
from darkroom_contracts.routes import job_urls
from darkroom_contracts.states import JobStatus
from status.outlook import Outlook
from status.signing import SignedUrls
from status.store import JobRow


def job_view(row: JobRow, outlook: Outlook, live: Progress | None, urls: SignedUrls) -> Job:
    """The whole job. `live` is the latest step told of its current attempt, where there is one."""
    return Job(
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
        outputs=[_output(stored, urls) for stored in row.outputs],
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
    """None for a job that waits or never began. A running job shows the newer of row and event."""
    if row.status == JobStatus.QUEUED or row.started_at is None:
        return None
    step, steps = row.step or 0, row.steps or row.input.num_inference_steps
    if row.status == JobStatus.SUCCEEDED:
        return JobProgress(steps, steps, 1.0)
    if row.status == JobStatus.RUNNING and live and live.step > step:
        step, steps = live.step, live.steps
    return JobProgress(step, steps, min(1.0, step / steps))


def _output(stored: StoredOutput, urls: SignedUrls) -> Output:
    url, expires_at = urls.url(stored.key)
    return Output(
        index=stored.index,
        url=url,
        url_expires_at=expires_at,
        content_type=stored.content_type,
        width=stored.width,
        height=stored.height,
        size_bytes=stored.size_bytes,
        sha256=stored.sha256,
        seed=stored.seed,
    )


def _milliseconds(queued_at: datetime, started_at: datetime | None) -> float | None:
    """Null until an attempt has started since the job was last queued."""
    if started_at is None or started_at < queued_at:
        return None
    return (started_at - queued_at).total_seconds() * 1000
