"""The metrics of an attempt's end."""

import time
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import REGISTRY

from darkroom_contracts.errors import JobErrorCode, Stage
from darkroom_contracts.states import JobStatus
from gpu_consumer.job import telemetry
from gpu_consumer.job.outcome import Dead, Outcome, Released, Retry, failure
from gpu_consumer.job.verdict import Claimed, Obsolete, Settled

ERROR = failure(JobErrorCode.OUT_OF_MEMORY, "It was too large.", Stage.RENDER)
CLAIM = Claimed(
    job_id=UUID(int=1),
    generation=1,
    token=UUID(int=2),
    attempt=1,
    model="tiny",
    input=b"{}",
)


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, {"model": "tiny", **labels}) or 0.0


@pytest.mark.parametrize(
    ("outcome", "finding", "recorded", "errors"),
    [
        (Retry(ERROR), Settled(JobStatus.QUEUED), "retry", 1),
        (Dead(ERROR), Settled(JobStatus.FAILED), "dead", 1),
        (Released(), Settled(JobStatus.QUEUED), "released", 0),
        (Dead(ERROR), Obsolete("it was canceled"), "discarded", 0),
    ],
)
def test_an_attempt_is_counted_by_model_outcome_and_error(
    outcome: Outcome, finding: Any, recorded: str, errors: int
) -> None:
    """Its duration has its outcome; its error counts unless the outcome was discarded."""
    before = sample("darkroom_attempt_errors_total", code=ERROR.code)
    counted = sample("darkroom_attempt_seconds_count", outcome=recorded)
    spent = sample("darkroom_attempt_seconds_sum", outcome=recorded)
    telemetry.settled(CLAIM, outcome, finding, time.perf_counter() - 3)
    assert sample("darkroom_attempt_errors_total", code=ERROR.code) == before + errors
    assert sample("darkroom_attempt_seconds_count", outcome=recorded) == counted + 1
    assert sample("darkroom_attempt_seconds_sum", outcome=recorded) - spent == pytest.approx(3, abs=0.5)
