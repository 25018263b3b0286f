"""Keeps a warm render process at hand: starts it, replaces it when it is lost or suspect, and says so at the gate."""

import asyncio

import msgspec
import structlog

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
"""How often a lost process is started again in a row before the worker gives up."""
PAUSE_SECONDS = 1.0
SUSPECTED = Loss(LossKind.SUSPECTED, "two failures in a row at sizes that it had rendered well")

log = structlog.get_logger()


class Failure(msgspec.Struct, frozen=True):
    """A render that failed, and what is known of the process that it failed in."""

    answer: RenderFailed
    may_be_the_process: bool = False
    """It had rendered this size well before."""
    replaced: bool = False
    """It failed so twice in a row and was replaced: the failure says nothing about the job."""
    last_lines: tuple[str, ...] = ()
    """What it wrote to its output meanwhile."""


class Renderer:
    def __init__(self, process: RenderProcess, gate: Gate, usage: Usage) -> None:
        self._process = process
        self._gate = gate
        self._usage = usage
        self._suspicion = Suspicion()
        self._suspicion.begin(process.warm_sizes)

    @property
    def ready(self) -> Ready | None:
        """The word of the process that is warm, if one is."""
        return self._process.ready

    async def check(self) -> None:
        """Raises RuntimeError unless the model is warm."""
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
        """Wait until it can render."""
        while self._process.ready is None:
            self._gate.forbid(RENDERER)
            await self._gate.wait_for(RENDERER)

    async def render(
        self, wanted: JobInput, on_step: OnStep, on_preview: OnPreview, on_picture: OnPicture, *, frugal: bool
    ) -> Rendered | Aborted | Failure:
        """As RenderProcess.render. A process that was lost is out of the gate before this returns."""
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
        await self._process.abort()

    async def stop(self) -> None:
        await self._process.stop()

    async def _judge(self, wanted: JobInput, answer: Outcome) -> Rendered | Aborted | Failure:
        """Learn from the answer about the process, and replace it when it fails at what it could do before."""
        if isinstance(answer, Aborted):
            return answer
        if isinstance(answer, Rendered):
            self._suspicion.note_success(wanted)
            return answer
        metrics.RENDER_FAILURES.labels(answer.code).inc()
        may_be_the_process = self._suspicion.note_failure(wanted, answer)
        replaced = may_be_the_process and self._suspicion.convicts
        last_lines = self._process.last_lines
        if replaced:
            await self._replace()
        return Failure(answer, may_be_the_process, replaced, last_lines)

    async def _replace(self) -> None:
        """`run` starts the next one."""
        log.warning("the render process is suspect and is replaced", reason=SUSPECTED.reason)
        await self._process.condemn(SUSPECTED)
        self._suspicion.begin(self._process.warm_sizes)

    async def _restart(self) -> Ready:
        for _ in range(RESTARTS - 1):
            try:
                return await self._process.restart()
            except RenderProcessStuckError:
                raise
            except StartupError as error:
                log.warning("render process did not start", error=error.message, retry_seconds=PAUSE_SECONDS)
                await asyncio.sleep(PAUSE_SECONDS)
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
        log.warning("CUDA graphs could not be captured; their sizes are rendered without", failed=ready.failed_captures)
    if ready.device == "cpu":
        log.warning("rendering on the CPU, because DARKROOM_DEVICE says so; a GPU is many times faster")
