"""A warm render process, started again when it is lost or suspect. The gate is open while it is warm."""

import asyncio

import msgspec
import structlog

from chassis.backoff import Backoff
from darkroom_contracts.api import JobInput
from gpu_consumer import metrics
from gpu_consumer.gate import RENDERER, Gate
from gpu_consumer.protocol import Aborted, Outcome, Ready, Rendered, RenderFailed
from gpu_consumer.renderer.loss import Loss, LossKind
from gpu_consumer.renderer.process import OnPicture, OnPreview, OnStep, RenderProcess
from gpu_consumer.renderer.suspicion import Suspicion
from gpu_consumer.startup import RenderProcessStuckError, StartupError
from gpu_consumer.usage import Usage

RESTARTS = 3
"""Tries to start a lost process again before the worker gives up."""
BACKOFF = Backoff(1.0, 1.0)
SUSPECTED = Loss(LossKind.SUSPECTED, "two failures in a row at sizes that it had rendered before")

log = structlog.get_logger()


class Failure(msgspec.Struct, frozen=True):
    """A failed render, and what is known about the process that failed."""

    answer: RenderFailed
    may_be_the_process: bool = False
    """The process had rendered this size before."""
    replaced: bool = False
    """The process failed twice in a row at such sizes and was replaced: the failure is not the job's."""
    last_lines: tuple[str, ...] = ()
    """The last lines of the process's output."""


class Renderer:
    """Renders with one process at a time, and decides when to replace it."""

    def __init__(self, process: RenderProcess, gate: Gate, usage: Usage) -> None:
        self._process = process
        self._gate = gate
        self._usage = usage
        self._suspicion = Suspicion()
        self._suspicion.begin(process.warm_sizes)

    @property
    def ready(self) -> Ready | None:
        """The report of the warm process; None while there is no such process."""
        return self._process.ready

    async def check(self) -> None:
        """Raise RuntimeError unless the model is warm."""
        if self._process.ready is None:
            raise RuntimeError("The model is not loaded.")

    async def run(self) -> None:
        """Start the process and replace it whenever it is lost. Raises StartupError when that can't be done."""
        self._welcome(await self._process.start())
        while True:
            self._gate.allow(RENDERER)
            lost = await self._process.wait_lost()
            self._gate.forbid(RENDERER)
            self._usage.lost()
            metrics.RENDER_PROCESS_LOSSES.labels(lost.loss.kind).inc()
            log.error("render process lost", reason=lost.loss.reason)
            self._welcome(await self._restart())

    async def warm(self) -> None:
        """Wait until a process is warm."""
        while self._process.ready is None:
            self._gate.forbid(RENDERER)
            await self._gate.wait_for(RENDERER)

    async def render(
        self, wanted: JobInput, on_step: OnStep, on_preview: OnPreview, on_picture: OnPicture, *, frugal: bool
    ) -> Rendered | Aborted | Failure:
        """Render as RenderProcess.render does. If the process is lost, the gate is closed before this returns."""
        self._usage.render_begins()
        try:
            answer = await self._process.render(
                wanted, on_step, on_picture=on_picture, on_preview=on_preview, frugal=frugal
            )
            self._usage.render_ends()
            return await self._judge(wanted, answer)
        finally:
            self._usage.render_ends()
            if self._process.ready is None:
                self._gate.forbid(RENDERER)

    async def abort(self) -> None:
        """Stop the render within one step."""
        await self._process.abort()

    async def stop(self) -> None:
        """End the process."""
        await self._process.stop()

    async def _judge(self, wanted: JobInput, answer: Outcome) -> Rendered | Aborted | Failure:
        """Judge the process by its answer, and replace it when it fails repeatedly at known-good sizes."""
        if isinstance(answer, Aborted):
            return answer
        if isinstance(answer, Rendered):
            self._suspicion.note_success(wanted)
            return answer
        metrics.RENDER_FAILURES.labels(answer.code).inc()
        may_be_the_process = self._suspicion.note_failure(wanted, answer)
        replaced = may_be_the_process and self._suspicion.is_confirmed
        last_lines = self._process.last_lines
        if replaced:
            await self._replace()
        return Failure(answer, may_be_the_process, replaced, last_lines)

    async def _replace(self) -> None:
        """End the process; `run` starts the next one."""
        log.warning("suspect render process is replaced", reason=SUSPECTED.reason)
        await self._process.condemn(SUSPECTED)
        self._suspicion.begin(self._process.warm_sizes)

    async def _restart(self) -> Ready:
        """Start another process. A stuck one is not replaced: it still holds the GPU."""
        for failures in range(1, RESTARTS):
            try:
                return await self._process.restart()
            except RenderProcessStuckError:
                raise
            except StartupError as error:
                pause = BACKOFF.pause(failures)
                log.warning("render process did not start", error=error.message, retry_seconds=round(pause, 2))
                await asyncio.sleep(pause)
        return await self._process.restart()

    def _welcome(self, ready: Ready) -> None:
        self._suspicion.begin(self._process.warm_sizes)
        self._usage.warm()
        metrics.LOAD_SECONDS.set(ready.load_seconds)
        metrics.WARMUP_SECONDS.set(ready.warmup_seconds)
        metrics.FAILED_CAPTURES.set(ready.failed_captures)
        metrics.MEMORY_BASELINE_BYTES.set(ready.memory_bytes)
        _announce(ready)


def _announce(ready: Ready) -> None:
    log.info(
        "model is warm",
        device=ready.device,
        dtype=ready.dtype,
        model_revision=ready.model_revision,
        load_seconds=round(ready.load_seconds, 2),
        warmup_seconds=round(ready.warmup_seconds, 2),
        memory_mib=ready.memory_bytes >> 20,
    )
    if ready.failed_captures:
        log.warning(
            "some CUDA graphs failed; their sizes are rendered without them",
            failed=ready.failed_captures,
        )
    if ready.device == "cpu":
        log.warning("rendering on the CPU as DARKROOM_DEVICE asks; a GPU is many times faster")
