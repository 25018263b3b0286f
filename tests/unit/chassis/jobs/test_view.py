"""The public view of a job, from its row."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from chassis.jobs.view import Outlook, SignedPath, event_view, job_view, progress_of
from darkroom_contracts.api import JobMetrics, JobProgress, encode
from darkroom_contracts.messages.v1 import Progress
from darkroom_contracts.objects import StoredOutput
from darkroom_contracts.states import JobStatus
from tests.support.job_rows import NOON, job_row

STORED = [StoredOutput(index, f"jobs/1/{index}.png", "image/png", 64, 64, 3000, "ab", 7) for index in (0, 1)]
SIGNED = [SignedPath(f"/darkroom/jobs/1/{index}.png?X-Amz-Signature=s", NOON) for index in (0, 1)]
ORIGIN = "https://darkroom.example"


def running(**changes: Any) -> Any:
    return job_row(**{"status": JobStatus.RUNNING, "attempt": 1, "started_at": NOON, **changes})


def event(row: Any, step: int, steps: int = 20) -> Progress:
    return Progress(row.id, row.generation, row.attempt, step, steps)


def test_a_waiting_job_has_no_progress() -> None:
    """The steps of an attempt that was returned to the queue are not shown."""
    row = job_row(step=7, steps=20)
    assert progress_of(row, event(row, 9)) is None


def test_a_job_that_just_began_stands_at_zero_of_the_steps_asked_for() -> None:
    """Before the first heartbeat the row has no steps."""
    assert progress_of(running(), None) == JobProgress(0, 20, 0.0)


@pytest.mark.parametrize(("in_row", "in_event", "shown"), [(5, 8, 8), (8, 5, 8), (None, 3, 3)])
def test_a_running_job_shows_the_newer_of_row_and_event(in_row: int | None, in_event: int, shown: int) -> None:
    """An event may be newer than the last heartbeat, and a heartbeat newer than the last event."""
    row = running(step=in_row, steps=20)
    assert progress_of(row, event(row, in_event)) == JobProgress(shown, 20, shown / 20)


def test_the_scheduler_s_own_count_of_steps_is_shown() -> None:
    """Some schedulers make more steps than were requested."""
    row = running()
    assert progress_of(row, event(row, 21, steps=21)) == JobProgress(21, 21, 1.0)


def test_a_success_is_complete_whatever_was_told_last() -> None:
    """The last steps may never have been reported."""
    row = running(status=JobStatus.SUCCEEDED, completed_at=NOON, step=17, steps=21)
    assert progress_of(row, event(row, 18)) == JobProgress(21, 21, 1.0)


def test_a_failed_job_shows_how_far_it_came() -> None:
    """Late events do not change a job that has ended."""
    row = running(status=JobStatus.FAILED, completed_at=NOON, step=17, steps=20)
    assert progress_of(row, event(row, 18)) == JobProgress(17, 20, 0.85)


@pytest.mark.parametrize("status", [JobStatus.CANCELED, JobStatus.EXPIRED])
def test_a_job_that_never_began_has_no_progress(status: JobStatus) -> None:
    """A job that was canceled or expired while it waited has no steps."""
    assert progress_of(job_row(status=status, completed_at=NOON), None) is None


def test_queue_time_is_measured_from_when_the_job_was_last_queued() -> None:
    """It complements the metrics of the row."""
    row = running(started_at=NOON + timedelta(seconds=1.5), metrics=JobMetrics(inference_ms=300.0, store_ms=5.0))
    assert job_view(row).metrics == JobMetrics(queue_ms=1500.0, inference_ms=300.0, store_ms=5.0)


def test_a_job_that_waits_again_has_no_queue_time() -> None:
    """The start of the previous attempt does not measure this wait."""
    row = job_row(attempt=1, started_at=NOON - timedelta(seconds=9))
    assert job_view(row).metrics.queue_ms is None


def test_each_picture_gets_its_own_url() -> None:
    """The URLs are given in the order of the outputs, one for each."""
    outputs = job_view(job_row(outputs=STORED), signed=SIGNED).outputs
    assert [(output.index, output.url, output.url_expires_at) for output in outputs] == [
        (0, SIGNED[0].path, NOON),
        (1, SIGNED[1].path, NOON),
    ]
    with pytest.raises(ValueError, match="zip"):
        job_view(job_row(outputs=STORED), signed=SIGNED[:1])


@pytest.mark.parametrize("origin", ["", ORIGIN])
def test_links_are_paths_or_absolute(origin: str) -> None:
    """An origin precedes the presigned URL and the link that is kept; by default both are paths."""
    row = job_row(outputs=STORED)
    for index, output in enumerate(job_view(row, signed=SIGNED, origin=origin).outputs):
        assert output.url == origin + SIGNED[index].path
        assert output.link == f"{origin}/v1/jobs/{row.id}/outputs/{index}"


def test_an_event_shows_the_job_without_what_expires() -> None:
    """A webhook's job has the same fields and links as a response, and no presigned URL or place in the queue."""
    row = running(status=JobStatus.SUCCEEDED, completed_at=NOON, outputs=STORED)
    shown, event_job = (
        msgspec.json.decode(encode(view))
        for view in (job_view(row, signed=SIGNED, origin=ORIGIN), event_view(row, ORIGIN))
    )
    for output in shown["outputs"]:
        assert (output.pop("url"), output.pop("url_expires_at")) != (None, None)
    assert event_job == shown
    assert event_job["outputs"][1]["link"] == f"{ORIGIN}/v1/jobs/{row.id}/outputs/1"
    assert event_view(job_row(outputs=STORED)).outputs[0].link.startswith("/v1/jobs/")


def test_a_waiting_job_shows_its_outlook() -> None:
    """What lies before it is given as a value; by default nothing is known."""
    assert job_view(job_row(), outlook=Outlook(3, NOON)).queue_position == 3
    assert job_view(job_row(), outlook=Outlook(3, NOON)).estimated_start_at == NOON
    assert job_view(job_row()).queue_position is None
