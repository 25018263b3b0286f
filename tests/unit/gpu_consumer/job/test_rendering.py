"""A claimed job is rendered in its turn, and stopped when its lease says so."""

import asyncio
import time
from typing import Any

import pytest
from prometheus_client import REGISTRY

from darkroom_contracts.errors import JobErrorCode
from darkroom_contracts.messages.v1 import Preview, Progress
from gpu_consumer import protocol
from gpu_consumer.gate import RENDERER, Gate
from gpu_consumer.job.lease import Interruption, Lease
from gpu_consumer.job.outcome import Canceled, Dead, Discarded, Expired, Finished, Outcome, Released, Retry
from gpu_consumer.job.rendering import Rendering
from gpu_consumer.job.turn import Turn
from gpu_consumer.protocol import Aborted, FailureKind, RenderFailed
from gpu_consumer.renderer.loss import Loss
from gpu_consumer.renderer.process import RenderProcessLostError
from gpu_consumer.renderer.renderer import Failure
from tests.support.models import ready, rendered
from tests.support.waiting import eventually
from tests.unit.gpu_consumer.parts import (
    JOB_ID,
    LEASE_SECONDS,
    MESSAGE,
    MODEL,
    FakeFeed,
    FakeRenderer,
    FakeStore,
    claim_of,
    render_until_aborted,
)


class Bench:
    """The step and its parts."""

    def __init__(self, **claim: Any) -> None:
        self.gate = Gate(RENDERER)
        self.renderer = FakeRenderer()
        self.feed = FakeFeed()
        self.store = FakeStore()
        self.claim = claim
        self.turn = Turn()
        self.render_seconds = 60.0
        self.lease = self.lease_held_since(time.monotonic())

    def lease_held_since(self, moment: float) -> Lease:
        return Lease(self.store, claim_of(**self.claim), MESSAGE, 60, moment)

    async def render(self) -> Finished | Outcome:
        step = Rendering(MODEL, self.renderer, self.gate, self.feed, self.render_seconds)
        async with self.lease:
            return await step.render(self.lease, self.turn)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def starting(bench: Bench) -> "asyncio.Task[Finished | Outcome]":
    return asyncio.create_task(bench.render())


async def test_a_render_waits_to_be_stored(bench: Bench) -> None:
    """A finished render has its pictures and the report of the process; its turn has not ended."""
    finished = await bench.render()
    assert isinstance(finished, Finished)
    assert [picture.image.seed for picture in finished.pictures] == [7]
    assert (finished.rendered, finished.ready) == (rendered(), ready())
    assert finished.turn_at is None
    assert not bench.turn.has_ended, "the pipeline ends the turn"


async def test_steps_and_previews_are_shown(bench: Bench) -> None:
    """Steps go to the lease and to the live feed; the last one marks the turn as denoised."""
    await bench.render()
    assert bench.lease.step == protocol.Step(3, 3)
    assert bench.feed.steps == [Progress(JOB_ID, 1, 1, step, 3) for step in (1, 2, 3)]
    assert bench.feed.previews == [Preview(JOB_ID, 1, 1, 1, 8, 8, b"png")]
    await asyncio.wait_for(bench.turn.wait_denoised(), 1)


async def test_an_input_that_the_model_can_not_render_waits_for_nothing() -> None:
    """An input that the model can't render is dead without a wait for the GPU."""
    bench = Bench(model="sd15")
    bench.turn = Turn(Turn())
    outcome = await asyncio.wait_for(bench.render(), 1)
    assert isinstance(outcome, Dead)
    assert bench.renderer.renders == []


async def test_a_job_waits_for_its_turn(bench: Bench) -> None:
    """A job renders when its turn comes, and the render records when that was."""
    before = Turn()
    bench.turn = Turn(before)
    rendering = starting(bench)
    for _ in range(5):
        await asyncio.sleep(0)
    assert bench.renderer.renders == []
    came_at = time.perf_counter()
    before.end()
    finished = await asyncio.wait_for(rendering, 5)
    assert isinstance(finished, Finished)
    assert finished.turn_at is not None
    assert finished.turn_at >= came_at


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        (Interruption.CANCEL, Canceled()),
        (Interruption.LEASE_LOST, Discarded()),
        (Interruption.DRAIN, Released()),
    ],
)
async def test_a_job_is_given_up_before_its_turn(bench: Bench, reason: Interruption, outcome: Outcome) -> None:
    """An interruption ends the wait for the GPU with its outcome."""
    bench.turn = Turn(Turn())
    rendering = starting(bench)
    bench.lease.interrupt(reason)
    assert await asyncio.wait_for(rendering, 5) == outcome
    assert bench.renderer.renders == []


async def test_a_drain_releases_what_has_not_begun(bench: Bench) -> None:
    """A drain releases a job that waits for a warm process."""
    bench.renderer.ready = None
    rendering = starting(bench)
    for _ in range(5):
        await asyncio.sleep(0)
    bench.gate.drain()
    assert await asyncio.wait_for(rendering, 5) == Released()


async def test_a_lease_that_is_not_fresh_is_confirmed_first(bench: Bench) -> None:
    """A lease that is not fresh is confirmed before the render."""
    bench.lease = bench.lease_held_since(time.monotonic() - LEASE_SECONDS)
    assert isinstance(await bench.render(), Finished)
    assert bench.lease.fresh


async def test_a_lease_that_was_lost_renders_nothing(bench: Bench) -> None:
    """A job that the confirming heartbeat finds lost is not rendered."""
    bench.lease = bench.lease_held_since(time.monotonic() - LEASE_SECONDS)
    bench.store.held = False
    bench.store.verdicts = [bench.store.look_verdict]
    assert await bench.render() == Discarded()
    assert bench.renderer.renders == []


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (Interruption.CANCEL, Canceled),
        (Interruption.DRAIN, Released),
        (Interruption.DEADLINE, Expired),
        (Interruption.LEASE_LOST, Discarded),
    ],
)
async def test_an_interruption_aborts_the_render(bench: Bench, reason: Interruption, kind: type[Outcome]) -> None:
    """An interruption aborts the render and decides its outcome."""
    bench.renderer.how = render_until_aborted
    rendering = starting(bench)
    await eventually(lambda: bench.lease.step is not None)
    bench.lease.interrupt(reason)
    assert isinstance(await asyncio.wait_for(rendering, 5), kind)


async def test_a_render_that_takes_too_long_is_dead(bench: Bench) -> None:
    """A render that takes too long is dead, with the last step done."""
    bench.renderer.how = render_until_aborted
    bench.render_seconds = 0.01
    outcome = await asyncio.wait_for(bench.render(), 5)
    assert isinstance(outcome, Dead)
    assert (outcome.error.code, outcome.error.step) == (JobErrorCode.RENDER_TIMEOUT, 1)


async def test_a_render_that_is_done_by_then_stands(bench: Bench) -> None:
    """A render that finishes in spite of the abort stands."""

    async def finish_at_the_abort(renderer: FakeRenderer, *_: Any) -> Any:
        await renderer.aborted.wait()
        return rendered()

    bench.renderer.how = finish_at_the_abort
    rendering = starting(bench)
    await eventually(lambda: bench.renderer.renders == [False])
    bench.lease.interrupt(Interruption.CANCEL)
    assert isinstance(await asyncio.wait_for(rendering, 5), Finished)


async def test_a_canceled_render_tells_how_long_it_took(bench: Bench) -> None:
    """The time from a cancel's request until the render ended is a metric; an abort without a cancel is not counted."""
    counted = REGISTRY.get_sample_value("darkroom_cancel_seconds_count") or 0
    for requested_at in (None, time.perf_counter()):
        again = Bench()
        again.renderer.how = render_until_aborted
        again.lease.cancel_requested_at = requested_at
        rendering = starting(again)
        await eventually(lambda again=again: again.lease.step is not None)  # type: ignore[misc]
        again.lease.interrupt(Interruption.CANCEL)
        await asyncio.wait_for(rendering, 5)
    assert REGISTRY.get_sample_value("darkroom_cancel_seconds_count") == counted + 1


async def test_a_lost_process_is_a_failure_that_may_pass(bench: Bench) -> None:
    """A lost process is a failure that may pass, with the last step of the loss."""

    async def be_lost(*_: Any) -> Aborted:
        raise RenderProcessLostError(Loss("SIGKILL", "SIGKILL"), protocol.Step(2, 3), ("a line",))

    bench.renderer.how = be_lost
    outcome = await bench.render()
    assert isinstance(outcome, Retry)
    assert (outcome.error.code, outcome.error.step) == (JobErrorCode.RENDER_PROCESS_LOST, 2)


async def test_a_failed_render_is_an_outcome(bench: Bench) -> None:
    """A permanent failure is dead."""

    async def fail(*_: Any) -> Failure:
        return Failure(RenderFailed(JobErrorCode.UNSAFE_OUTPUT, "not shown", FailureKind.PERMANENT))

    bench.renderer.how = fail
    outcome = await bench.render()
    assert isinstance(outcome, Dead)
    assert outcome.error.code == JobErrorCode.UNSAFE_OUTPUT


@pytest.mark.parametrize(
    ("claim", "frugal"),
    [
        ({}, False),
        ({"attempt": 2, "previous_error": JobErrorCode.OUT_OF_MEMORY}, True),
        ({"attempt": 2, "previous_error": JobErrorCode.STORAGE_UNAVAILABLE}, False),
    ],
)
async def test_a_job_that_did_not_fit_is_rendered_frugally(claim: dict[str, Any], frugal: bool) -> None:
    """Only the attempt after a lack of memory is frugal."""
    bench = Bench(**claim)
    await bench.render()
    assert bench.renderer.renders == [frugal]
