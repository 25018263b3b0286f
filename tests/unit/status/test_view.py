"""From the row to the job that a client sees."""

from datetime import timedelta
from typing import Any

import pytest

from chassis.settings import StorageSettings
from darkroom_contracts.api import JobMetrics, JobProgress
from darkroom_contracts.messages.v1 import Progress
from darkroom_contracts.objects import StoredOutput
from darkroom_contracts.states import JobStatus
from status.outlook import Outlook
from status.signing import SignedUrls
from status.view import job_view, progress_of
from tests.unit.status.rows import NOON, job_row

STORAGE = StorageSettings(s3_endpoint="http://s3.internal:9000", s3_access_key="access-key", s3_secret_key="secret-key")


@pytest.fixture
def urls() -> SignedUrls:
    return SignedUrls(STORAGE, "https://pictures.example", timedelta(hours=1))


def running(**changes: Any) -> Any:
    return job_row(**{"status": JobStatus.RUNNING, "attempt": 1, "started_at": NOON, **changes})


def event(row: Any, step: int, steps: int = 20) -> Progress:
    return Progress(row.id, row.generation, row.attempt, step, steps)


def test_a_waiting_job_has_no_progress() -> None:
    """Steps of an attempt that went back to the queue are not shown."""
    row = job_row(step=7, steps=20)
    assert progress_of(row, event(row, 9)) is None


def test_a_job_that_just_began_stands_at_zero_of_the_steps_asked_for() -> None:
    """Before the first heartbeat the row knows no steps."""
    assert progress_of(running(), None) == JobProgress(0, 20, 0.0)


@pytest.mark.parametrize(("in_row", "in_event", "shown"), [(5, 8, 8), (8, 5, 8), (None, 3, 3)])
def test_a_running_job_shows_the_newer_of_row_and_event(in_row: int | None, in_event: int, shown: int) -> None:
    """An event may be newer than the last heartbeat, and a heartbeat newer than the last event that arrived."""
    row = running(step=in_row, steps=20)
    assert progress_of(row, event(row, in_event)) == JobProgress(shown, 20, shown / 20)


def test_the_scheduler_s_own_count_of_steps_is_shown() -> None:
    """Some schedulers take more steps than were asked for."""
    row = running()
    assert progress_of(row, event(row, 21, steps=21)) == JobProgress(21, 21, 1.0)


def test_a_success_is_complete_whatever_was_told_last() -> None:
    """The last steps before the end may never have been told."""
    row = running(status=JobStatus.SUCCEEDED, completed_at=NOON, step=17, steps=21)
    assert progress_of(row, event(row, 18)) == JobProgress(21, 21, 1.0)


def test_a_failed_job_shows_how_far_it_came() -> None:
    """Late events do not move a job that ended."""
    row = running(status=JobStatus.FAILED, completed_at=NOON, step=17, steps=20)
    assert progress_of(row, event(row, 18)) == JobProgress(17, 20, 0.85)


@pytest.mark.parametrize("status", [JobStatus.CANCELED, JobStatus.EXPIRED])
def test_a_job_that_never_began_has_no_progress(status: JobStatus) -> None:
    """A job canceled or expired while it waited has rendered nothing."""
    assert progress_of(job_row(status=status, completed_at=NOON), None) is None


def test_queue_time_is_measured_from_when_the_job_was_last_queued(urls: SignedUrls) -> None:
    """The metrics of the row stand beside it."""
    row = running(started_at=NOON + timedelta(seconds=1.5), metrics=JobMetrics(inference_ms=300.0, store_ms=5.0))
    assert job_view(row, Outlook(), None, urls).metrics == JobMetrics(queue_ms=1500.0, inference_ms=300.0, store_ms=5.0)


def test_a_job_that_waits_again_has_no_queue_time(urls: SignedUrls) -> None:
    """The start of the attempt before says nothing about this wait."""
    row = job_row(attempt=1, started_at=NOON - timedelta(seconds=9))
    assert job_view(row, Outlook(), None, urls).metrics.queue_ms is None


def test_pictures_get_presigned_urls_of_the_public_origin(urls: SignedUrls) -> None:
    """A client never sees the address at which the services reach S3."""
    stored = StoredOutput(0, "jobs/1/0-ab.png", "image/png", 64, 64, 3000, "ab", 7)
    (output,) = job_view(job_row(outputs=[stored]), Outlook(), None, urls).outputs
    assert output.url.startswith("https://pictures.example/darkroom/jobs/1/0-ab.png?X-Amz-")
    assert (output.index, output.width, output.size_bytes, output.sha256, output.seed) == (0, 64, 3000, "ab", 7)
    assert "s3.internal" not in output.url
