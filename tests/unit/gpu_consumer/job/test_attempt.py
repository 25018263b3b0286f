"""The pipeline takes a message to its end: decode, claim, render, store, settle, dispose."""

import asyncio
from typing import Any

import pytest
from prometheus_client import REGISTRY

from darkroom_contracts.errors import JobErrorCode, Stage
from darkroom_contracts.states import JobStatus
from gpu_consumer.gate import DATABASE, OWN_DATABASE, Gate
from gpu_consumer.job.attempt import Attempt, Pipeline
from gpu_consumer.job.claiming import Claiming
from gpu_consumer.job.disposing import Disposing
from gpu_consumer.job.lease import Interruption
from gpu_consumer.job.loss_streak import LossStreak
from gpu_consumer.job.outcome import Disposal
from gpu_consumer.job.rendering import Rendering
from gpu_consumer.job.settling import Settling
from gpu_consumer.job.storing import Storing
from gpu_consumer.job.turn import Turn
from gpu_consumer.job.verdict import DeadLettered, Obsolete, Orphan, Refusal
from gpu_consumer.renderer.loss import Loss
from gpu_consumer.renderer.process import RenderProcessLostError
from gpu_consumer.usage import Usage
from tests.support.waiting import eventually
from tests.unit.gpu_consumer.parts import (
    AWAY,
    BODY,
    JOB_ID,
    LANES,
    LETTER,
    MODEL,
    FakeFeed,
    FakeParking,
    FakePictures,
    FakeRenderer,
    FakeStore,
    claim_of,
    render_until_aborted,
)


class Room:
    """A pipeline of the real steps, over fakes."""

    def __init__(self) -> None:
        self.gate = Gate(DATABASE, OWN_DATABASE)
        self.store = FakeStore()
        self.renderer = FakeRenderer()
        self.pictures = FakePictures()
        self.losses = LossStreak()
        self.pipeline = Pipeline(
            Claiming(self.store, self.gate, 60),
            Rendering(MODEL, self.renderer, self.gate, FakeFeed(), 60),
            Storing(self.pictures, Usage(), 0),
            Settling(self.store, LANES),
            Disposing(FakeParking(), self.store, self.gate),
            self.losses,
        )


@pytest.fixture
def room() -> Room:
    return Room()


@pytest.fixture
def attempt() -> Attempt:
    return Attempt(BODY, {}, Turn())


def count(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_a_job_is_rendered_stored_and_settled(room: Room, attempt: Attempt) -> None:
    """A rendered, stored and settled job's message is acked, its turn has ended, and each moment was counted once."""
    names = [
        ("darkroom_messages_total", {"verdict": "claimed"}),
        ("darkroom_attempts_total", {"outcome": "succeeded"}),
        ("darkroom_render_seconds_count", {}),
        ("darkroom_overhead_seconds_count", {}),
        *(("darkroom_phase_seconds_count", {"phase": phase}) for phase in ("claim", "wait", "denoise", "settle")),
    ]
    before = [count(name, **labels) for name, labels in names]
    assert await room.pipeline.run(attempt) is Disposal.ACK
    ((status, success),) = room.store.written
    assert (status, success.outputs[0].key) == (JobStatus.SUCCEEDED, "key")
    assert attempt.turn.has_ended
    assert [count(name, **labels) for name, labels in names] == [value + 1 for value in before]


async def test_an_undecodable_message_is_rejected(room: Room) -> None:
    """An undecodable message is rejected without a claim."""
    before = count("darkroom_messages_total", verdict="undecodable")
    assert await room.pipeline.run(Attempt(b"{", {}, Turn())) is Disposal.REJECT
    assert room.store.claims == []
    assert count("darkroom_messages_total", verdict="undecodable") == before + 1


@pytest.mark.parametrize(
    ("refusal", "disposal"),
    [
        (Obsolete("running"), Disposal.ACK),
        (DeadLettered(), Disposal.REJECT),
        (Orphan(), Disposal.BURY),
    ],
)
async def test_a_job_that_can_not_be_claimed_is_not_rendered(
    room: Room, attempt: Attempt, refusal: Refusal, disposal: Disposal
) -> None:
    """A refusal decides about the message; nothing is rendered, and the next job may render."""
    room.store.verdicts = [refusal]
    assert await room.pipeline.run(attempt) is disposal
    assert room.renderer.renders == []
    assert room.store.written == []
    assert attempt.turn.has_ended


async def test_the_next_job_may_render_while_one_is_stored(room: Room, attempt: Attempt) -> None:
    """The turn ends when the render ends, before the pictures are stored."""
    room.pictures.passes.clear()
    running = asyncio.create_task(room.pipeline.run(attempt))
    await asyncio.wait_for(attempt.turn.wait_ended(), 5)
    await eventually(lambda: room.pictures.at_work == 1)
    assert not running.done()
    room.pictures.passes.set()
    assert await asyncio.wait_for(running, 5) is Disposal.ACK


async def test_one_job_at_a_time_is_stored(room: Room) -> None:
    """A second finished render waits until the first is stored."""
    room.pictures.passes.clear()
    attempts = [Attempt(BODY, {}, Turn()) for _ in range(2)]
    running = [asyncio.create_task(room.pipeline.run(attempt)) for attempt in attempts]
    await asyncio.wait_for(asyncio.gather(*(attempt.turn.wait_ended() for attempt in attempts)), 5)
    await eventually(lambda: room.pictures.at_work == 1)
    room.pictures.passes.set()
    assert await asyncio.wait_for(asyncio.gather(*running), 5) == [Disposal.ACK] * 2


async def test_a_dead_job_s_message_is_rejected(room: Room) -> None:
    """A dead job's letter has the message's bytes and headers, safe for JSON."""
    room.store.verdicts = [claim_of(model="sd15")]
    assert await room.pipeline.run(Attempt(BODY, {"lane": b"\x00"}, Turn())) is Disposal.REJECT
    ((status, error, letter),) = room.store.written
    assert (status, error.code) == (JobStatus.FAILED, JobErrorCode.INPUT_NOT_RENDERABLE)
    assert (letter.body, letter.headers) == (BODY, {"lane": {"$bytes": "AA=="}})


@pytest.mark.parametrize("stage", [Stage.RENDER, Stage.STORE])
async def test_a_bug_ends_in_a_visible_outcome(room: Room, attempt: Attempt, stage: Stage) -> None:
    """A bug kills the job, and the error has the stage."""
    bug = ZeroDivisionError("a bug")

    async def break_down(*_: Any) -> Any:
        raise bug

    if stage is Stage.RENDER:
        room.renderer.how = break_down
    else:
        room.pictures.error = bug
    assert await room.pipeline.run(attempt) is Disposal.REJECT
    ((_, error, letter),) = room.store.written
    assert (error.code, error.stage, letter) == (JobErrorCode.PIPELINE_ERROR, stage, LETTER)


async def test_a_bucket_that_is_away_costs_an_attempt(room: Room, attempt: Attempt) -> None:
    """A bucket that is away queues the job again, and the message is acked."""
    room.pictures.error = AWAY
    assert await room.pipeline.run(attempt) is Disposal.ACK
    assert [status for status, *_ in room.store.written] == [JobStatus.QUEUED]


async def test_a_job_that_was_taken_away_is_recorded_by_nobody(room: Room, attempt: Attempt) -> None:
    """A job that a heartbeat finds lost is not recorded, and the verdict decides about its message."""
    room.renderer.how = render_until_aborted
    room.store.verdicts = [claim_of(), Obsolete("running")]
    room.store.held = False
    discarded = count("darkroom_attempts_total", outcome="discarded")
    assert await asyncio.wait_for(room.pipeline.run(attempt), 5) is Disposal.ACK
    assert room.store.written == []
    assert count("darkroom_attempts_total", outcome="discarded") == discarded + 1


async def test_an_attempt_is_interrupted(room: Room, attempt: Attempt) -> None:
    """An interrupted attempt releases its job."""
    room.renderer.how = render_until_aborted
    running = asyncio.create_task(room.pipeline.run(attempt))
    await eventually(lambda: room.renderer.renders == [False])
    assert attempt.job_id == JOB_ID
    attempt.interrupt(Interruption.DRAIN)
    assert await asyncio.wait_for(running, 5) is Disposal.ACK
    assert room.store.written == [(JobStatus.QUEUED,)]


def test_an_attempt_without_a_claim_has_nothing_to_interrupt(attempt: Attempt) -> None:
    """Interrupting an attempt without a claim does nothing."""
    attempt.interrupt(Interruption.DRAIN)
    attempt.hurry()
    assert attempt.job_id is None


async def test_losses_in_a_row_are_noted_and_a_success_ends_the_row(room: Room) -> None:
    """A lost process is noted for the streak, and a success ends the streak."""

    async def be_lost(*_: Any) -> Any:
        raise RenderProcessLostError(Loss("SIGKILL", "SIGKILL"), None, ())

    well = room.renderer.how
    room.renderer.how = be_lost
    await room.pipeline.run(Attempt(BODY, {}, Turn()))
    assert len(room.losses.tokens) == 1
    room.renderer.how = well
    await room.pipeline.run(Attempt(BODY, {}, Turn()))
    assert room.losses.tokens == []
