"""The session's beats, and its response to a pause."""

from typing import Any

import pytest

from chassis.errors import DatabaseUnavailableError
from gpu_consumer.gate import DATABASE, RESUMED, Gate
from gpu_consumer.worker.orders import Orders
from gpu_consumer.worker.session import PROOF_SECONDS, EmptyAnswers, Session
from tests.support.clocks import Clock
from tests.support.models import ready

READY = ready()


class Record:
    """A store that keeps what the session writes, and answers what operators want."""

    def __init__(self) -> None:
        self.paused = False
        self.drained = False
        self.away = False
        self.locked = False
        """Whether jobs can't be written."""
        self.known = True
        self.written: list[tuple[Any, ...]] = []

    async def open_session(self, model: str) -> Orders:
        return self._write("opened", model)

    async def describe_session(self, described: Any, gpu_id: str | None) -> None:
        self._write("described", described.device, gpu_id)

    async def beat_session(self, empty_age: float | None, empty_before_age: float | None) -> Orders | None:
        return self._write("beat", empty_age, empty_before_age) if self.known else None

    async def check_jobs(self) -> None:
        if self.locked:
            raise DatabaseUnavailableError("the jobs are locked")

    async def end_session(self) -> None:
        self._write("ended")

    def _write(self, *what: Any) -> Orders:
        if self.away:
            raise DatabaseUnavailableError("away")
        self.written.append(what)
        return Orders(self.paused, self.drained)


@pytest.fixture
def record() -> Record:
    return Record()


@pytest.fixture
def gate() -> Gate:
    return Gate(RESUMED, DATABASE)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def answers(clock: Clock) -> EmptyAnswers:
    return EmptyAnswers(clock)


@pytest.fixture
def session(record: Record, gate: Gate, answers: EmptyAnswers) -> Session:
    return Session(record, gate, answers, lambda: READY, model="tiny", gpu_id="GPU-1", beat_seconds=60)


def test_nothing_is_known_of_a_queue_that_was_never_empty(answers: EmptyAnswers) -> None:
    """Before the first empty answer there are no ages."""
    assert answers.ages() == (None, None)


def test_an_answer_is_a_proof_once_it_is_old_enough(answers: EmptyAnswers, clock: Clock) -> None:
    """The ages are those of the latest answer and of the latest that is ten seconds old, maybe the same one."""
    answers.note(clock.seconds)
    clock.seconds += PROOF_SECONDS - 1
    assert answers.ages() == (PROOF_SECONDS - 1, None)
    clock.seconds += 1
    assert answers.ages() == (PROOF_SECONDS, PROOF_SECONDS)


def test_an_answer_stays_until_a_later_one_is_old_enough(answers: EmptyAnswers, clock: Clock) -> None:
    """A worker that asks every second always has a proof, and keeps ten seconds of answers at most."""
    for _ in range(100):
        answers.note(clock.seconds)
        clock.seconds += 1
    assert answers.ages() == (1, PROOF_SECONDS)
    assert len(answers._asked_at) <= PROOF_SECONDS + 2


async def test_a_pause_closes_the_gate_until_it_is_over(session: Session, record: Record, gate: Gate) -> None:
    """The gate follows the pause found at the start and by each beat."""
    record.paused = True
    await session.open()
    seen = [gate.is_open]
    for record.paused in (False, True):
        await session.run_once()
        seen.append(gate.is_open)
    assert seen == [False, True, False]


async def test_a_drained_worker_takes_nothing_until_it_is_resumed(session: Session, record: Record, gate: Gate) -> None:
    """A drain has the effect of a pause, and each ends by itself."""
    await session.open()
    gate.allow(DATABASE)
    seen = []
    for record.paused, record.drained in ((False, True), (True, True), (True, False), (False, False)):
        await session.run_once()
        seen.append(gate.is_open)
    assert seen == [False, False, False, True]


async def test_a_session_says_once_what_it_renders_on(session: Session, record: Record) -> None:
    """Each beat carries the ages; the device is recorded once."""
    await session.run_once()
    await session.run_once()
    assert record.written == [("described", READY.device, "GPU-1"), ("beat", None, None), ("beat", None, None)]


async def test_a_beat_that_is_answered_opens_the_gate_for_claims(session: Session, record: Record, gate: Gate) -> None:
    """A successful beat opens the gate that an unanswered claim had closed, when jobs can be written."""
    await session.open()
    gate.forbid(DATABASE)
    record.away = True
    await session.run_once()
    assert not gate.is_open
    record.away = False
    await session.run_once()
    assert gate.is_open


async def test_a_beat_alone_does_not_open_the_gate_for_claims(session: Session, record: Record, gate: Gate) -> None:
    """The gate stays closed while jobs can't be written, although beats are answered; an open one is not checked."""
    await session.open()
    record.locked = True
    await session.run_once()
    assert gate.is_open
    gate.forbid(DATABASE)
    await session.run_once()
    assert (gate.is_open, record.written[-1][0]) == (False, "beat")
    record.locked = False
    await session.run_once()
    assert gate.is_open


async def test_a_beat_that_fails_changes_nothing(session: Session, record: Record, gate: Gate) -> None:
    """Without Postgres the gate is unchanged, and neither beat nor end raises."""
    await session.open()
    record.away = True
    await session.run_once()
    await session.close()
    assert gate.is_open


async def test_a_session_that_a_restored_database_does_not_know_is_opened_again(
    session: Session, record: Record, gate: Gate
) -> None:
    """A session that the database has lost is opened and described again."""
    await session.run_once()
    record.written.clear()
    record.known, record.paused = False, True
    await session.run_once()
    assert record.written == [("opened", "tiny")]
    assert not gate.is_open
    record.known = True
    await session.run_once()
    assert record.written[1:] == [("described", READY.device, "GPU-1"), ("beat", None, None)]
