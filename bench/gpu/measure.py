"""Measure one variant in a render process of its own, which is driven as in a worker."""

import asyncio
import hashlib
import statistics
import time
from concurrent.futures import Future, ThreadPoolExecutor

import msgspec

from bench.gpu.results import Measured
from bench.gpu.subjects import Subject, Variant, load_of
from darkroom_contracts.api import JobInput
from darkroom_contracts.pictures import Origin
from gpu_consumer import protocol
from gpu_consumer.pictures import png
from gpu_consumer.renderer.process import Limits, RenderProcess
from gpu_consumer.worker.gpu_monitor import Gpu

FEWEST, MOST, ENOUGH_SECONDS = 3, 10, 4.0
"""Number of renders of a series: at least FEWEST, then up to MOST within ENOUGH_SECONDS."""
LIMITS = Limits(start=900, step=120)
"""Far above the expected times, since the run has its own time limit."""


class RenderError(Exception):
    """A render failed."""


class Render(msgspec.Struct, frozen=True):
    """One render of the job."""

    rendered: protocol.Rendered
    image: protocol.RenderedImage

    @property
    def sha256(self) -> str:
        """Digest of the pixels."""
        return hashlib.sha256(self.image.rgb).hexdigest()


class Series(msgspec.Struct, frozen=True):
    """Consecutive renders."""

    renders: list[Render]
    seconds: float
    """Time from the first request to the last response."""

    @property
    def idle_share(self) -> float:
        """Share of the time in which no render ran."""
        busy = sum(each.rendered.inference_ms for each in self.renders) / 1000
        return 1 - busy / self.seconds


async def measure(subject: Subject, variant: Variant, folder: str, device: protocol.Device) -> Measured:
    """Measure a variant. Raises RenderError, StartupError and RenderProcessLostError."""
    process = RenderProcess(load_of(subject, variant, folder, device), LIMITS)
    try:
        ready = await process.start()
        first = await _render(process, subject.job())
        series = await _work_off(process, subject, ready)
        used = await asyncio.to_thread(_device_bytes, device)
    finally:
        await process.stop()
    return _measured(ready, [first, *series.renders], series, used)


async def _work_off(process: RenderProcess, subject: Subject, ready: protocol.Ready) -> Series:
    """Request each render when the one before it is done, and encode pictures in a thread at the same time."""
    renders: list[Render] = []
    files: list[Future[bytes]] = []
    began = ended = time.perf_counter()
    with ThreadPoolExecutor(1) as encoder:
        while len(renders) < FEWEST or (ended - began < ENOUGH_SECONDS and len(renders) < MOST):
            renders.append(await _render(process, subject.job()))
            ended = time.perf_counter()
            files.append(encoder.submit(png.encode, renders[-1].image, subject.job(), subject.name, _origin(ready)))
    assert all(file.result() for file in files)
    return Series(renders, ended - began)


async def _render(process: RenderProcess, wanted: JobInput) -> Render:
    """Render the job once. Raises RenderError."""
    pictures: list[protocol.Picture] = []
    outcome = await process.render(wanted, _ignore_step, on_picture=pictures.append)
    if not isinstance(outcome, protocol.Rendered):
        reason = outcome.message if isinstance(outcome, protocol.RenderFailed) else "it was aborted"
        raise RenderError(f"The render failed: {' '.join(reason.split())}")
    return Render(outcome, pictures[0].image)


def _ignore_step(step: protocol.Step) -> None:
    """Ignore a step."""


def _measured(ready: protocol.Ready, all_renders: list[Render], series: Series, used: int | None) -> Measured:
    paces = [each.rendered.steps / each.rendered.phases.denoise for each in series.renders]
    digests = {each.sha256 for each in all_renders}
    return Measured(
        device=ready.device,
        versions=ready.versions,
        load_seconds=ready.load_seconds,
        warmup_seconds=ready.warmup_seconds,
        steps_per_second=statistics.median(paces),
        decode_ms=1000 * statistics.median(each.rendered.phases.decode for each in series.renders),
        held_bytes=ready.memory_bytes,
        peak_bytes=max(each.rendered.peak_memory_bytes for each in all_renders),
        device_bytes=used,
        idle_share=series.idle_share,
        renders=len(all_renders),
        sha256=all_renders[0].sha256,
        repeatable=len(digests) == 1,
        failed_captures=ready.failed_captures,
    )


def _device_bytes(device: protocol.Device) -> int | None:
    gpu = Gpu.find() if device == "cuda" else None
    reading = gpu.read() if gpu else None
    return reading.memory_used_bytes if reading else None


def _origin(ready: protocol.Ready) -> Origin:
    return Origin(
        model_revision=ready.model_revision, dtype=ready.dtype, device=ready.device, versions=dict(ready.versions)
    )
