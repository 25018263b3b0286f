"""Failures, translated into outcomes."""

from typing import Any
from uuid import uuid4

import msgspec
import pytest

from chassis.errors import StorageUnavailableError
from darkroom_contracts.errors import JobErrorCode, Stage
from darkroom_contracts.models import Model, Range
from gpu_consumer.job import failures
from gpu_consumer.job.outcome import MESSAGE_LIMIT, Dead, Retry, failure
from gpu_consumer.job.verdict import Claimed
from gpu_consumer.protocol import FailureKind, RenderFailed, Step
from gpu_consumer.renderer.loss import Loss
from gpu_consumer.renderer.process import RenderProcessLostError
from gpu_consumer.renderer.renderer import Failure
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
    """An input within the model's bounds is returned unchanged."""
    assert failures.accepted_input(claimed(), MODEL) == job_input()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input": msgspec.json.encode(job_input(width=512))}, "width must lie between 64 and 128."),
        ({"input": b'{"prompt": 1}'}, "The input can't be decoded"),
        ({"model": "sd15"}, "The job is for model sd15"),
    ],
)
def test_an_input_that_can_t_be_rendered_is_dead(changes: dict[str, Any], message: str) -> None:
    """An input that the model can't render is dead at once."""
    outcome = failures.accepted_input(claimed(**changes), MODEL)
    assert isinstance(outcome, Dead)
    assert (outcome.error.code, outcome.error.retryable) == ("input_not_renderable", False)
    assert outcome.error.message.startswith(message)


OUT_OF_MEMORY = RenderFailed(JobErrorCode.OUT_OF_MEMORY, "1024x1024 did not fit", FailureKind.TRANSIENT)
PIPELINE_ERROR = RenderFailed(JobErrorCode.PIPELINE_ERROR, "KeyError: 'sample'", FailureKind.PERMANENT)
LOST = RenderProcessLostError(Loss("SIGKILL", "SIGKILL"), Step(3, 20), ("a line of its log",))


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
    """The first failure with a transient kind is retried; the second with the same code is dead."""
    outcome = failures.render_failed(Failure(OUT_OF_MEMORY), claimed(attempt=attempt, previous_error=previous), None)
    assert isinstance(outcome, expected)
    assert outcome.error.retryable == (expected is Retry)
    assert outcome.error.message == "1024x1024 did not fit"


@pytest.mark.parametrize(
    ("attempt", "previous", "frugal"),
    [(1, None, False), (1, "out_of_memory", False), (2, "storage_unavailable", False), (2, "out_of_memory", True)],
)
def test_the_attempt_after_a_lack_of_memory_is_frugal(attempt: int, previous: str | None, frugal: bool) -> None:
    """Only an attempt after a lack of memory is frugal."""
    assert failures.needs_frugality(claimed(attempt=attempt, previous_error=previous)) is frugal


@pytest.mark.parametrize(
    ("failed", "previous", "expected"),
    [
        pytest.param(Failure(PIPELINE_ERROR), None, Dead, id="a size that never went well"),
        pytest.param(Failure(PIPELINE_ERROR, may_be_the_process=True), None, Retry, id="the first at a good size"),
        pytest.param(Failure(PIPELINE_ERROR, may_be_the_process=True), "pipeline_error", Dead, id="the second"),
        pytest.param(
            Failure(PIPELINE_ERROR, may_be_the_process=True, replaced=True),
            "pipeline_error",
            Retry,
            id="the second, in a process that was replaced for it",
        ),
    ],
)
def test_a_pipeline_error_is_the_job_s_own_once_the_process_is_trusted(
    failed: Failure, previous: str | None, expected: type
) -> None:
    """A failure that may be the process's is retried once; in a replaced process it never kills the job."""
    attempt = 1 if previous is None else 2
    outcome = failures.render_failed(failed, claimed(attempt=attempt, previous_error=previous), Step(2, 20))
    assert isinstance(outcome, expected)
    assert outcome.error.code == "pipeline_error"


def test_a_failure_tells_the_last_step_and_to_operators_the_last_lines() -> None:
    """The error has the last step, and the detail the process's output."""
    failed = Failure(PIPELINE_ERROR, last_lines=("Traceback", "secret path"))
    dead = failures.render_failed(failed, claimed(), Step(2, 20))
    assert (dead.error.step, dead.error.steps) == (2, 20)
    assert dead.detail == {"last_lines": ("Traceback", "secret path")}
    assert "secret" not in msgspec.json.encode(dead.error).decode()


def test_a_fatal_failure_is_tried_again_in_a_new_process() -> None:
    """A fatal failure counts as a lost process."""
    answer = RenderFailed(JobErrorCode.RENDER_PROCESS_LOST, "CUDA error", FailureKind.FATAL)
    outcome = failures.render_failed(Failure(answer), claimed(), Step(2, 20))
    assert isinstance(outcome, Retry)
    assert (outcome.error.code, outcome.error.message, outcome.error.step) == ("render_process_lost", "CUDA error", 2)


def test_a_lost_process_tells_its_last_lines_to_operators_only() -> None:
    """The error of a lost process names signal and step; the detail has its output."""
    outcome = failures.process_lost(LOST, claimed())
    assert outcome.error.message == "The render process was lost after step 3 of 20: SIGKILL."
    assert (outcome.error.step, outcome.error.steps) == (3, 20)
    assert outcome.detail == {"last_lines": ("a line of its log",)}


@pytest.mark.parametrize(("losses", "expected"), [(0, Retry), (1, Retry), (2, Dead)])
def test_a_job_that_ends_three_processes_is_poison(losses: int, expected: type) -> None:
    """The third loss in a generation is poison, and its message has the reason of the last."""
    fatal = RenderFailed(JobErrorCode.RENDER_PROCESS_LOST, "CUDA error", FailureKind.FATAL)
    job = claimed(attempt=losses + 1, process_losses=losses)
    outcomes = failures.process_lost(LOST, job), failures.render_failed(Failure(fatal), job, None)
    assert all(isinstance(outcome, expected) for outcome in outcomes)
    if expected is Dead:
        assert [outcome.error.code for outcome in outcomes] == ["poison", "poison"]
        assert outcomes[0].error.message.startswith("This job ended the render process 3 times.")
        assert outcomes[0].error.message.endswith("after step 3 of 20: SIGKILL.")
        assert outcomes[0].detail == {"last_lines": ("a line of its log",)}


def test_s3_s_own_words_stay_with_operators() -> None:
    """S3's message is in the detail only."""
    outcome = failures.storage_unavailable(StorageUnavailableError("S3: host-7 refused"))
    assert "host-7" not in outcome.error.message
    assert outcome.detail == {"cause": "S3: host-7 refused"}


def test_messages_are_fit_for_postgres_and_bounded() -> None:
    """A message has no NUL and no lone surrogate, and is bounded."""
    error = failure(JobErrorCode.PIPELINE_ERROR, "a\x00b\ud800" + "c" * 5000, Stage.RENDER)
    assert "\x00" not in error.message
    assert len(error.message.encode()) <= MESSAGE_LIMIT + 2
