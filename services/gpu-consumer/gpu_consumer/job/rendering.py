"""The step `render`: wait for the GPU and a warm model, render, and stop when the lease says so."""

import asyncio
import time
from collections.abc import Awaitable
from typing import Protocol

import structlog

from darkroom_contracts.api import JobInput
from darkroom_contracts.messages.v1 import Preview, Progress
from darkroom_contracts.models import Model
from gpu_consumer import protocol
from gpu_consumer.gate import Gate
from gpu_consumer.job import failures, telemetry
from gpu_consumer.job.lease import Interruption, Lease
from gpu_consumer.job.outcome import Dead, Finished, Outcome, Released
from gpu_consumer.job.turn import Turn
from gpu_consumer.protocol import Aborted, Picture, Ready, Rendered
from gpu_consumer.renderer.process import OnPicture, OnPreview, OnStep, RenderProcessLostError
from gpu_consumer.renderer.renderer import Failure
from gpu_consumer.waiting import first_of

log = structlog.get_logger()


class Renders(Protocol):
    """What rendering needs of the renderer."""

    @property
    def ready(self) -> Ready | None: ...
    async def warm(self) -> None: ...
    async def render(
        self, wanted: JobInput, on_step: OnStep, on_preview: OnPreview, on_picture: OnPicture, *, frugal: bool
    ) -> Rendered | Aborted | Failure: ...
    async def abort(self) -> None: ...


class Feed(Protocol):
    """What rendering needs of the live feed."""

    def report(self, step: Progress) -> None: ...
    def show(self, preview: Preview) -> None: ...


class Rendering:
    """Renders claimed jobs in their turns."""

    def __init__(self, model: Model, renderer: Renders, gate: Gate, feed: Feed, render_seconds: float) -> None:
        """`render_seconds`: how long one render may take."""
        self._model = model
        self._renderer = renderer
        self._gate = gate
        self._feed = feed
        self._render_seconds = render_seconds

    async def render(self, lease: Lease, turn: Turn) -> Finished | Outcome:
        """Render the job once its turn has come, unless it is given up before."""
        wanted = failures.accepted_input(lease.claimed, self._model)
        if isinstance(wanted, Dead):
            return wanted
        turn_at = await self._wait_turn(lease, turn)
        asked_at = time.perf_counter()
        ready = await self._wait_ready(lease)
        if ready is None:
            return lease.interruption.outcome() if lease.interruption else Released()
        waited = time.perf_counter() - asked_at
        listener = _Listener(lease, turn, self._feed)
        try:
            answer = await self._render(wanted, lease, listener)
        except RenderProcessLostError as lost:
            return failures.process_lost(lost, lease.claimed)
        if not isinstance(answer, Rendered):
            return _outcome(answer, lease)
        telemetry.rendered(answer)
        pictures, ended_at = tuple(listener.pictures), time.perf_counter()
        return Finished(wanted, pictures, answer, ready, waited, turn_at, ended_at)

    def _is_given_up(self, lease: Lease) -> bool:
        """Return whether the job is given up before its render begins."""
        return lease.interruption is not None or self._gate.draining

    async def _unless_given_up(self, lease: Lease, *awaitables: Awaitable[object]) -> None:
        """Wait for one of these, or until the job is given up."""
        await first_of(*awaitables, lease.wait_interrupted(), self._gate.wait_draining())

    async def _wait_turn(self, lease: Lease, turn: Turn) -> float | None:
        """Wait for the GPU. Return when it became free for the job; None if it was free already."""
        if turn.has_come:
            return None
        await self._unless_given_up(lease, turn.wait())
        return time.perf_counter()

    async def _wait_ready(self, lease: Lease) -> Ready | None:
        """Wait until the model is warm and the lease is fresh. Return None if the job is given up before."""
        renderer = self._renderer
        while not self._is_given_up(lease) and (renderer.ready is None or not lease.fresh):
            await self._unless_given_up(lease, renderer.warm() if renderer.ready is None else lease.confirm())
        return None if self._is_given_up(lease) else renderer.ready

    async def _render(self, wanted: JobInput, lease: Lease, listener: "_Listener") -> Rendered | Aborted | Failure:
        """Render, and abort on an interruption or after `render_seconds`. A render that ends before that stands."""
        frugal = failures.needs_frugality(lease.claimed)
        rendering = asyncio.create_task(
            self._renderer.render(wanted, listener.on_step, listener.on_preview, listener.on_picture, frugal=frugal)
        )
        try:
            await first_of(rendering, lease.wait_interrupted(), asyncio.sleep(self._render_seconds))
            if not rendering.done():
                if lease.interruption is None:
                    lease.interrupt(Interruption.OVERTIME)
                log.info("aborting the render", reason=lease.interruption)
                await self._renderer.abort()
            return await rendering
        finally:
            rendering.cancel()


def _outcome(answer: Aborted | Failure, lease: Lease) -> Outcome:
    if isinstance(answer, Failure):
        return failures.render_failed(answer, lease.claimed, lease.step)
    telemetry.aborted(lease.cancel_requested_at)
    assert lease.interruption is not None  # nothing else aborts
    return lease.interruption.outcome(lease.step)


class _Listener:
    """Receives what the render process reports of one job."""

    def __init__(self, lease: Lease, turn: Turn, feed: Feed) -> None:
        self.pictures: list[Picture] = []
        self._lease = lease
        self._turn = turn
        self._feed = feed

    def on_step(self, step: protocol.Step) -> None:
        self._lease.progress(step)
        if step.step == step.steps:
            self._turn.note_denoised()
        job = self._lease.claimed  # the job may have been claimed again meanwhile
        self._feed.report(Progress(job.job_id, job.generation, job.attempt, step.step, step.steps))

    def on_preview(self, preview: protocol.Preview) -> None:
        job = self._lease.claimed
        self._feed.show(
            Preview(job.job_id, job.generation, job.attempt, preview.step, preview.width, preview.height, preview.png)
        )

    def on_picture(self, picture: Picture) -> None:
        self.pictures.append(picture)
