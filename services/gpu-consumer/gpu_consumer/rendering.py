"""From a claimed job to its pixels: check, wait until the model is warm, render, stop when that is wanted."""

import asyncio
import time
from dataclasses import dataclass

import structlog

from contracts.api import JobInput
from contracts.messages.v1 import Preview, Progress
from gpu_consumer import failures, metrics
from gpu_consumer.bench import Bench
from gpu_consumer.lease import Interruption, Lease
from gpu_consumer.outcome import Dead, Outcome, Released
from gpu_consumer.render import protocol
from gpu_consumer.render.process import RenderProcessLostError
from gpu_consumer.render.protocol import Aborted, Picture, Ready, Rendered, RenderedImage
from gpu_consumer.renderer import Failure
from gpu_consumer.store import Claimed
from gpu_consumer.waiting import first_of

log = structlog.get_logger()


@dataclass(frozen=True)
class Finished:
    """A render that waits to be stored."""

    wanted: JobInput
    images: tuple[RenderedImage, ...]
    rendered: Rendered
    ready: Ready
    """The word of the process that rendered it."""
    waited_seconds: float
    """For a warm process."""


class Rendering:
    """One attempt's use of the renderer."""

    def __init__(self, bench: Bench, lease: Lease) -> None:
        self._bench = bench
        self._lease = lease
        self._images: list[RenderedImage] = []

    @property
    def _claimed(self) -> Claimed:
        """The job may have been claimed again meanwhile."""
        return self._lease.claimed

    async def run(self) -> Finished | Outcome:
        wanted = failures.accepted_input(self._claimed, self._bench.model)
        if isinstance(wanted, Dead):
            return wanted
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
                return Finished(wanted, tuple(self._images), answer, ready, waited)
            case Failure():
                return failures.render_failed(answer, self._claimed, self._lease.step)
            case Aborted():
                assert self._lease.interruption is not None  # nobody else aborts
                return self._lease.interruption.outcome(self._lease.step)

    async def _warm(self) -> Ready | None:
        """None when the job is to be given up before it begins."""
        gate, renderer, lease = self._bench.gate, self._bench.renderer, self._lease
        while renderer.ready is None and not (lease.interruption or gate.draining):
            await first_of(renderer.warm(), lease.wait_interrupted(), gate.wait_draining())
        return None if lease.interruption or gate.draining else renderer.ready

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
        job = self._claimed
        self._bench.progress.report(Progress(job.job_id, job.generation, job.attempt, step.step, step.steps))

    def _on_picture(self, picture: Picture) -> None:
        self._images.append(picture.image)

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
