"""From a claimed job to its pixels: check, wait for the GPU, render, stop when that is wanted."""

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import dataclass

import structlog

from darkroom_contracts.api import JobInput
from darkroom_contracts.messages.v1 import Preview, Progress
from gpu_consumer import metrics, protocol
from gpu_consumer.job import failures
from gpu_consumer.job.bench import Bench
from gpu_consumer.job.lease import Interruption, Lease
from gpu_consumer.job.outcome import Dead, Outcome, Released
from gpu_consumer.job.store import Claimed
from gpu_consumer.protocol import Aborted, Picture, Ready, Rendered
from gpu_consumer.renderer.process import RenderProcessLostError
from gpu_consumer.renderer.renderer import Failure
from gpu_consumer.waiting import first_of

log = structlog.get_logger()


@dataclass(frozen=True)
class Finished:
    """A render that waits to be stored."""

    wanted: JobInput
    pictures: tuple[Picture, ...]
    rendered: Rendered
    ready: Ready
    """The word of the process that rendered it."""
    waited_seconds: float
    """For a warm process."""
    turn_at: float | None
    """When the GPU was free for it, by time.perf_counter; None where it was free already."""


class Rendering:
    """One attempt's use of the renderer, once its `turn` has come. `denoised` is set after its last step."""

    def __init__(self, bench: Bench, lease: Lease, turn: asyncio.Event | None, denoised: asyncio.Event) -> None:
        self._bench = bench
        self._lease = lease
        self._turn = turn
        self._denoised = denoised
        self._pictures: list[Picture] = []

    @property
    def _claimed(self) -> Claimed:
        """The job may have been claimed again meanwhile."""
        return self._lease.claimed

    async def run(self) -> Finished | Outcome:
        wanted = failures.accepted_input(self._claimed, self._bench.model)
        if isinstance(wanted, Dead):
            return wanted
        turn_at = await self._take_turn()
        asked_at = time.perf_counter()
        ready = await self._warm()
        if ready is None:
            return self._lease.interruption.outcome() if self._lease.interruption else Released()
        waited = time.perf_counter() - asked_at
        try:
            answer = await self._render(wanted)
        except RenderProcessLostError as lost:
            return failures.process_lost(lost, self._claimed)
        match answer:
            case Rendered():
                _observe(answer)
                return Finished(wanted, tuple(self._pictures), answer, ready, waited, turn_at)
            case Failure():
                return failures.render_failed(answer, self._claimed, self._lease.step)
            case Aborted():
                assert self._lease.interruption is not None  # nobody else aborts
                return self._lease.interruption.outcome(self._lease.step)

    @property
    def _given_up(self) -> bool:
        """Whether the job is to be given up before it begins."""
        return self._lease.interruption is not None or self._bench.gate.draining

    async def _unless_given_up(self, *awaitables: Awaitable[object]) -> None:
        """Wait for one of these, or until the job is given up."""
        await first_of(*awaitables, self._lease.wait_interrupted(), self._bench.gate.wait_draining())

    async def _take_turn(self) -> float | None:
        """Wait for the GPU; when that was, or None if it was free already."""
        if self._turn is None or self._turn.is_set():
            return None
        await self._unless_given_up(self._turn.wait())
        return time.perf_counter()

    async def _warm(self) -> Ready | None:
        """Wait until the model is warm and the job is known to be ours. None when it is given up before it begins."""
        renderer, lease = self._bench.renderer, self._lease
        while not self._given_up and (renderer.ready is None or not lease.fresh):
            await self._unless_given_up(renderer.warm() if renderer.ready is None else lease.confirm())
        return None if self._given_up else renderer.ready

    async def _render(self, wanted: JobInput) -> Rendered | Aborted | Failure:
        """Render, and abort when interrupted or when it takes too long; a render that is done by then stands."""
        renderer, frugal = self._bench.renderer, failures.needs_frugality(self._claimed)
        rendering = asyncio.create_task(
            renderer.render(wanted, self._on_step, self._on_preview, self._on_picture, frugal=frugal)
        )
        try:
            await first_of(rendering, self._lease.wait_interrupted(), asyncio.sleep(self._bench.render_seconds))
            if not rendering.done():
                if self._lease.interruption is None:
                    self._lease.interrupt(Interruption.OVERTIME)
                log.info("aborting the render", reason=self._lease.interruption)
                await renderer.abort()
            answer = await rendering
        finally:
            rendering.cancel()
        if isinstance(answer, Aborted) and self._lease.cancel_requested_at is not None:
            metrics.CANCEL_SECONDS.observe(time.perf_counter() - self._lease.cancel_requested_at)
        return answer

    def _on_step(self, step: protocol.Step) -> None:
        self._lease.progress(step)
        if step.step == step.steps:
            self._denoised.set()
        job = self._claimed
        self._bench.progress.report(Progress(job.job_id, job.generation, job.attempt, step.step, step.steps))

    def _on_picture(self, picture: Picture) -> None:
        self._pictures.append(picture)

    def _on_preview(self, preview: protocol.Preview) -> None:
        job = self._claimed
        self._bench.progress.show(
            Preview(job.job_id, job.generation, job.attempt, preview.step, preview.width, preview.height, preview.png)
        )


def _observe(rendered: Rendered) -> None:
    metrics.RENDER_SECONDS.observe(rendered.inference_ms / 1000)
    metrics.PHASE_SECONDS.labels(metrics.Phase.DENOISE).observe(rendered.phases.denoise)
    metrics.PHASE_SECONDS.labels(metrics.Phase.DECODE).observe(rendered.phases.decode)
    metrics.STEPS.inc(rendered.steps)
    if rendered.phases.denoise > 0:
        metrics.STEPS_PER_SECOND.set(rendered.steps / rendered.phases.denoise)
    metrics.MEMORY_PEAK_BYTES.set(rendered.peak_memory_bytes)
    metrics.TILED_RENDERS.inc(rendered.tiled)
