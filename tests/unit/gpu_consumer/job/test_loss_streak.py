"""A failing GPU is detected by losses in a row of different jobs."""

import asyncio
from uuid import UUID, uuid4

import pytest

from darkroom_contracts.errors import JobErrorCode, Stage
from gpu_consumer.job.loss_streak import LossStreak
from gpu_consumer.job.outcome import Canceled, Dead, Outcome, Retry, failure
from gpu_consumer.job.verdict import Claimed
from gpu_consumer.startup import DeviceFailingError, ExitCode

LOST = Retry(failure(JobErrorCode.RENDER_PROCESS_LOST, "SIGKILL", Stage.RENDER))
POISON = Dead(failure(JobErrorCode.POISON, "the third time", Stage.RENDER))
NO_MEMORY = Retry(failure(JobErrorCode.OUT_OF_MEMORY, "too large", Stage.RENDER))
ONE, OTHER = UUID(int=1), UUID(int=2)


def claim(job_id: UUID) -> Claimed:
    return Claimed(job_id, 1, uuid4(), 1, "tiny", b"{}", None)


def streak_of(*outcomes: tuple[UUID, Outcome]) -> LossStreak:
    streak = LossStreak()
    for job_id, outcome in outcomes:
        streak.note_outcome(claim(job_id), outcome)
    return streak


@pytest.mark.parametrize(
    ("outcomes", "sick"),
    [
        ([(ONE, LOST)], False),
        ([(ONE, LOST), (ONE, LOST), (ONE, POISON)], False),
        ([(ONE, LOST), (OTHER, LOST)], True),
        ([(ONE, POISON), (OTHER, LOST)], True),
        ([(ONE, LOST), (OTHER, NO_MEMORY)], False),
        ([(ONE, LOST), (OTHER, Canceled())], False),
    ],
)
def test_different_jobs_make_a_gpu_sick(outcomes: list[tuple[UUID, Outcome]], sick: bool) -> None:
    """Two jobs that lose processes in a row make the GPU suspect; one job alone, or another failure, does not."""
    assert streak_of(*outcomes).is_sick == sick


def test_a_success_ends_a_streak() -> None:
    """A success ends the streak."""
    streak = streak_of((ONE, LOST))
    streak.note_success()
    streak.note_outcome(claim(OTHER), LOST)
    assert not streak.is_sick
    assert len(streak.tokens) == 1


def test_a_sick_gpu_stays_sick() -> None:
    """A success after the decision to close does not shorten the list of attempts to refund."""
    streak = streak_of((ONE, LOST), (OTHER, LOST))
    streak.note_success()
    assert streak.is_sick
    assert len(streak.tokens) == 2


async def test_the_worker_is_told_to_close() -> None:
    """The watch raises an error with an exit code after which a restart may help."""
    streak = LossStreak()
    watching = asyncio.create_task(streak.watch())
    streak.note_outcome(claim(ONE), LOST)
    await asyncio.sleep(0)
    assert not watching.done()
    streak.note_outcome(claim(OTHER), LOST)
    with pytest.raises(DeviceFailingError, match="2 attempts at 2 different jobs in a row") as failing:
        await watching
    assert failing.value.exit_code == ExitCode.DEVICE_FAILING
    assert not ExitCode.DEVICE_FAILING.permanent
