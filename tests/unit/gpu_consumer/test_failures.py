"""What goes wrong, as outcomes."""

from typing import Any
from uuid import uuid4

import msgspec
import pytest

from chassis.storage import StorageUnavailableError
from contracts.errors import JobErrorCode
from contracts.models import Model, Range
from gpu_consumer import failures
from gpu_consumer.outcome import MESSAGE_LIMIT, Dead, Retry, Stage, failure
from gpu_consumer.render.process import RenderProcessLostError
from gpu_consumer.render.protocol import RenderFailed, Step
from gpu_consumer.store import Claimed
from tests.support.models import job_input

SIDE = Range(64, 128, 64)
MODEL = Model("tiny", "tiny", ("ddim",), SIDE, SIDE, Range(1, 100, 4), Range(0, 20, 7.5), 4, 10_000_000)


def claimed(**changes: Any) -> Claimed:
    values: dict[str, Any] = {
        "job_id": uuid4(),
        "generation": 1,
        "token": uuid4(),
        "attempt": 1,
        "model": "tiny",
        "input": msgspec.json.encode(job_input()),
        "previous_error": None,
    }
    return Claimed(**(values | changes))


def test_an_input_within_bounds_is_accepted() -> None:
    """What the gateway let through is rendered as it is."""
    assert failures.accepted_input(claimed(), MODEL) == job_input()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input": msgspec.json.encode(job_input(width=512))}, "width must lie between 64 and 128."),
        ({"input": b'{"prompt": 1}'}, "The input can't be read"),
        ({"model": "sd15"}, "The job is for model sd15"),
    ],
)
def test_an_input_that_can_t_be_rendered_is_dead(changes: dict[str, Any], message: str) -> None:
    """It would never be rendered: no attempt is spent on trying again."""
    outcome = failures.accepted_input(claimed(**changes), MODEL)
    assert isinstance(outcome, Dead)
    assert (outcome.error.code, outcome.error.retryable) == ("input_not_renderable", False)
    assert outcome.error.message.startswith(message)


@pytest.mark.parametrize(
    ("attempt", "previous", "expected"),
    [
        (1, None, Retry),
        (1, "out_of_memory", Retry),
        (2, "storage_unavailable", Retry),
        (2, "out_of_memory", Dead),
    ],
)
def test_only_the_first_lack_of_memory_is_transient(attempt: int, previous: str | None, expected: type) -> None:
    """A second one in a row is for good; one of an earlier generation does not count."""
    answer = RenderFailed(JobErrorCode.OUT_OF_MEMORY, "CUDA out of memory", "transient")
    outcome = failures.render_failed(answer, claimed(attempt=attempt, previous_error=previous))
    assert isinstance(outcome, expected)
    assert outcome.error.retryable == (expected is Retry)


def test_a_fatal_failure_is_tried_again_in_a_new_process() -> None:
    """A lost CUDA context is the process's end, not the job's."""
    answer = RenderFailed(JobErrorCode.RENDER_PROCESS_LOST, "CUDA error", "fatal")
    assert isinstance(failures.render_failed(answer, claimed()), Retry)


def test_a_lost_process_tells_its_last_lines_to_operators_only() -> None:
    """The public message has the signal and the step, the detail has the log."""
    outcome = failures.process_lost(RenderProcessLostError("SIGKILL", Step(3, 20), ("secret path",)))
    assert outcome.error.message == "The render process was lost after step 3 of 20: SIGKILL."
    assert outcome.detail == {"last_lines": ("secret path",)}


def test_s3_s_own_words_stay_with_operators() -> None:
    """They may name hosts and buckets."""
    outcome = failures.storage_unavailable(StorageUnavailableError("S3: host-7 refused"))
    assert "host-7" not in outcome.error.message
    assert outcome.detail == {"cause": "S3: host-7 refused"}


def test_messages_are_fit_for_postgres_and_bounded() -> None:
    """NUL and lone surrogates would make Postgres refuse the settle."""
    error = failure(JobErrorCode.PIPELINE_ERROR, "a\x00b\ud800" + "c" * 5000, Stage.RENDER)
    assert "\x00" not in error.message
    assert len(error.message.encode()) <= MESSAGE_LIMIT + 2
