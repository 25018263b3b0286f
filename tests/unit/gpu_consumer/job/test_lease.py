"""The lease: heartbeats, and reasons to stop."""

import asyncio
import time
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from structlog.testing import capture_logs

from chassis.errors import DatabaseBusyError, DatabaseUnavailableError
from darkroom_contracts.messages import RenderMessage
from darkroom_contracts.messages.v1 import Render
from gpu_consumer.job.lease import Interruption, Lease
from gpu_consumer.job.outcome import Canceled, Dead, Discarded, Expired, Released
from gpu_consumer.job.store import Beat
from gpu_consumer.job.verdict import Claimed, NotDue, Obsolete, Verdict
from gpu_consumer.protocol import Step
from tests.support.waiting import eventually

MESSAGE = Render(uuid4(), 1, "tiny", "")
CLAIMED = Claimed(uuid4(), 1, uuid4(), 1, "tiny", b"{}", None)


LEASE_SECONDS = 15.0


class Answers:
    """A store whose heartbeats get one answer after the other; the last one stays."""

    lease_seconds = LEASE_SECONDS

    def __init__(self, *answers: Beat | Exception | None) -> None:
        self._answers = list(answers)
        self.steps: list[tuple[int | None, int | None]] = []
        self.verdict: Verdict = Obsolete("succeeded")
        self.claims: list[bool] = []
        self.beaten_with: list[UUID] = []

    async def claim(self, message: RenderMessage, token: UUID, *, rendered: bool = False) -> Verdict:
        """Return the verdict that the test set."""
        self.claims.append(rendered)
        return self.verdict

    async def heartbeat(self, claimed: Claimed, step: int | None, steps: int | None) -> Beat | None:
        self.beaten_with.append(claimed.token)
        self.steps.append((step, steps))
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class SlowRow:
    """A job's row that waits for its next attempt, which is not due: only a finished render claims it."""

    lease_seconds = LEASE_SECONDS

    def __init__(self) -> None:
        self.token: UUID | None = None
        self.claims: list[bool] = []
        self.beats: list[UUID] = []
        self.answers = asyncio.Event()
        """Until it is set no claim is answered."""
        self.answers.set()

    async def claim(self, message: RenderMessage, token: UUID, *, rendered: bool = False) -> Verdict:
        self.claims.append(rendered)
        await self.answers.wait()
        if self.token is not None:
            return Obsolete("running")
        if not rendered:
            return NotDue(5.0)
        self.token = token
        return msgspec.structs.replace(CLAIMED, token=token, attempt=2)

    async def heartbeat(self, claimed: Claimed, step: int | None, steps: int | None) -> Beat | None:
        self.beats.append(claimed.token)
        return Beat(cancel_requested=False) if claimed.token == self.token else None


def lease_on(answers: Answers, seconds: float = 60, age: float = 0.0) -> Lease:
    """Return a lease that was claimed `age` seconds ago."""
    return Lease(answers, CLAIMED, MESSAGE, seconds, time.monotonic() - age)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Beat(cancel_requested=False), None),
        (Beat(cancel_requested=True), Interruption.CANCEL),
        (None, Interruption.LEASE_LOST),
        (DatabaseUnavailableError("away"), None),
        (DatabaseBusyError("full"), None),
    ],
)
async def test_a_beat_tells_what_the_row_says(answer: Any, expected: Interruption | None) -> None:
    """A lost row and a requested cancel interrupt the render; a database that is away does not."""
    lease = lease_on(Answers(answer))
    await lease.beat()
    assert lease.interruption == expected


async def test_a_beat_carries_the_latest_step() -> None:
    """Each heartbeat records the latest step."""
    answers = Answers(Beat(cancel_requested=False))
    lease = lease_on(answers)
    await lease.beat()
    lease.progress(Step(3, 20))
    await lease.beat()
    assert answers.steps == [(None, None), (3, 20)]


async def test_the_first_step_is_reported_at_once() -> None:
    """The first step is recorded at once: the attempt counts from then on. Later steps wait for the next beat."""
    answers = Answers(Beat(cancel_requested=False))
    async with lease_on(answers) as lease:
        lease.progress(Step(1, 20))
        await eventually(lambda: answers.steps == [(1, 20)])
        lease.progress(Step(2, 20))
        for _ in range(10):
            await asyncio.sleep(0)
        assert answers.steps == [(1, 20)]


@pytest.mark.parametrize(("age", "fresh"), [(0.0, True), (LEASE_SECONDS - 1, True), (LEASE_SECONDS, False)])
async def test_a_lease_is_fresh_for_as_long_as_no_other_worker_can_have_the_job(age: float, fresh: bool) -> None:
    """A lease is fresh for its length, counted by this process's clock from the moment the claim was sent."""
    answers = Answers(Beat(cancel_requested=False))
    async with lease_on(answers, age=age) as lease:
        assert lease.fresh == fresh
        await asyncio.wait_for(lease.confirm(), 5)
        assert lease.fresh
    assert len(answers.steps) == (0 if fresh else 1)


async def test_a_lease_that_can_not_be_confirmed_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease is confirmed only when the database answers."""
    monkeypatch.setattr("gpu_consumer.job.lease.CONFIRM_PAUSE_SECONDS", 0.01)
    answers = Answers(DatabaseUnavailableError("away"), DatabaseUnavailableError("away"), Beat(cancel_requested=False))
    async with lease_on(answers, age=LEASE_SECONDS) as lease:
        await asyncio.wait_for(lease.confirm(), 5)
        assert lease.fresh
    assert len(answers.steps) == 3


async def test_a_lease_that_is_lost_is_not_confirmed() -> None:
    """Confirming a lost lease returns with the reason to stop."""
    async with lease_on(Answers(None), age=LEASE_SECONDS) as lease:
        await asyncio.wait_for(lease.confirm(), 5)
        assert lease.lost
        assert not lease.fresh


async def test_hurry_beats_before_the_interval_is_over() -> None:
    """A heartbeat that is hurried finds a requested cancel before the interval is over."""
    async with lease_on(Answers(Beat(cancel_requested=True))) as lease:
        lease.hurry()
        await asyncio.wait_for(lease.wait_interrupted(), 5)
    assert lease.interruption == Interruption.CANCEL


async def test_beats_go_on_after_a_failed_one() -> None:
    """A failed heartbeat is followed by another."""
    answers = Answers(DatabaseUnavailableError("away"), Beat(cancel_requested=True))
    async with lease_on(answers, 0.01) as lease:
        await asyncio.wait_for(lease.wait_interrupted(), 5)
    assert len(answers.steps) >= 2


async def test_beats_go_on_after_a_bug() -> None:
    """A heartbeat that raises what nobody expects is logged and followed by another: a render may take minutes."""
    answers = Answers(ZeroDivisionError("a bug"), Beat(cancel_requested=True))
    with capture_logs() as logs:
        async with lease_on(answers, 0.01) as lease:
            await asyncio.wait_for(lease.wait_interrupted(), 5)
    assert [each["event"] for each in logs if each["log_level"] == "error"] == ["the heartbeat broke"]


def test_the_first_reason_stands_but_for_a_lost_lease() -> None:
    """A later reason does not replace a cancel, but a lost lease does."""
    lease = lease_on(Answers(None))
    lease.interrupt(Interruption.CANCEL)
    lease.interrupt(Interruption.DRAIN)
    assert lease.interruption == Interruption.CANCEL
    lease.interrupt(Interruption.LEASE_LOST)
    assert lease.lost


def test_each_reason_has_its_outcome() -> None:
    """Each interruption has its outcome."""
    *outcomes, overtime, deadline = [reason.outcome() for reason in Interruption]
    assert outcomes == [Canceled(), Discarded(), Released()]
    assert isinstance(overtime, Dead)
    assert overtime.error.code == "render_timeout"
    assert isinstance(deadline, Expired)
    assert deadline.error.code == "deadline_exceeded"


async def test_a_claim_that_postgres_lost_is_made_again() -> None:
    """After a claim made again, heartbeats carry the fresh token."""
    answers = Answers(None, Beat(cancel_requested=False))
    answers.verdict = msgspec.structs.replace(CLAIMED, token=uuid4(), attempt=2)
    lease = lease_on(answers)
    await lease.beat()
    await lease.beat()
    assert (lease.interruption, lease.claimed) == (None, answers.verdict)
    assert answers.beaten_with == [CLAIMED.token, answers.verdict.token]


async def test_a_job_that_is_another_s_says_what_to_do() -> None:
    """A lost lease keeps the verdict of the claim that was refused."""
    lease = lease_on(Answers(None))
    await lease.beat()
    assert (lease.lost, lease.verdict) == (True, Obsolete("succeeded"))


async def test_a_finished_render_gets_its_job_back() -> None:
    """A finished render claims its job again although a render that had not finished was refused."""
    answers = Answers(None)
    lease = lease_on(answers)
    await lease.beat()
    answers.verdict = CLAIMED
    assert await lease.keep_rendered()
    assert answers.claims == [False, True]
    assert not lease.lost


async def test_no_heartbeat_crosses_a_claim_made_again() -> None:
    """A finished render that claims its job again, from a slow database, keeps it: no heartbeat claims it, too."""
    row = SlowRow()
    async with Lease(row, CLAIMED, MESSAGE, 0.01, time.monotonic()) as lease:
        await asyncio.wait_for(lease.wait_interrupted(), 5)
        row.answers.clear()
        keeping = asyncio.create_task(lease.keep_rendered())
        await asyncio.sleep(0.05)
        row.answers.set()
        assert await keeping
        row.beats.clear()
        await eventually(lambda: len(row.beats) > 1)
        assert lease.claimed.token == row.token
        assert not lease.lost


async def test_a_claim_made_again_by_a_heartbeat_counts_for_a_finished_render() -> None:
    """A finished render waits for the heartbeat that claims its job again, and makes a refused claim again itself."""
    row = SlowRow()
    row.answers.clear()
    async with Lease(row, CLAIMED, MESSAGE, 0.01, time.monotonic()) as lease:
        await eventually(lambda: len(row.claims) == 1)
        keeping = asyncio.create_task(lease.keep_rendered())
        await asyncio.sleep(0.01)
        row.answers.set()
        assert await keeping
        await eventually(lambda: lease.claimed.token == row.token)


async def test_a_deadline_interrupts() -> None:
    """A deadline interrupts the render by this process's clock."""
    lease = lease_on(Answers(Beat(cancel_requested=False)))
    lease.claimed = msgspec.structs.replace(CLAIMED, deadline_seconds=0.01)
    async with lease:
        await asyncio.wait_for(lease.wait_interrupted(), 5)
    assert lease.interruption == Interruption.DEADLINE


async def test_a_resting_lease_beats_no_more() -> None:
    """After `rest` no heartbeat is sent."""
    answers = Answers(Beat(cancel_requested=False))
    async with lease_on(answers, 0.01) as lease:
        await lease.rest()
        beats = len(answers.steps)
        lease.hurry()
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(answers.steps) == beats


def test_an_overtime_tells_how_far_it_came() -> None:
    """The error of an overlong render has the last step done."""
    outcome = Interruption.OVERTIME.outcome(Step(3, 20))
    assert isinstance(outcome, Dead)
    assert (outcome.error.step, outcome.error.steps) == (3, 20)


async def test_a_cancel_s_age_is_known() -> None:
    """The time of a cancel's request is known in this process's clock."""
    lease = lease_on(Answers(Beat(cancel_requested=True, cancel_age_seconds=2.0)))
    before = time.perf_counter()
    await lease.beat()
    assert lease.cancel_requested_at is not None
    assert before - 2 <= lease.cancel_requested_at <= time.perf_counter() - 2
