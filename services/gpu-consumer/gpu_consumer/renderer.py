"""Keeps a warm render process at hand: starts it, replaces it when it is lost, and says so at the gate."""

import asyncio

import structlog

from contracts.api import JobInput, Receipt
from gpu_consumer import metrics
from gpu_consumer.gate import RENDERER, Gate
from gpu_consumer.render.process import OnStep, RenderProcess
from gpu_consumer.render.protocol import Outcome, Ready
from gpu_consumer.startup import StartupError

RESTARTS = 3
"""How often a lost process is started again in a row before the worker gives up."""
PAUSE_SECONDS = 1.0

log = structlog.get_logger()


class Renderer:
    def __init__(self, process: RenderProcess, gate: Gate) -> None:
        self._process = process
        self._gate = gate

    @property
    def ready(self) -> Ready | None:
        return self._process.ready

    async def check(self) -> None:
        """Raises RuntimeError unless the model is warm."""
        if self._process.ready is None:
            raise RuntimeError("The model is not loaded.")

    async def run(self) -> None:
        """Start the process and replace it whenever it is lost. Raises StartupError when that can't be done."""
        _announce(await self._process.start())
        while True:
            self._gate.allow(RENDERER)
            loss = await self._process.wait_lost()
            self._gate.forbid(RENDERER)
            metrics.RENDER_PROCESS_LOSSES.inc()
            log.error("render process lost", reason=loss.reason)
            _announce(await self._restart())

    async def warm(self) -> None:
        """Wait until it can render."""
        while self._process.ready is None:
            self._gate.forbid(RENDERER)
            await self._gate.wait_for(RENDERER)

    async def render(self, wanted: JobInput, on_step: OnStep) -> Outcome:
        """As RenderProcess.render. A process that was lost is out of the gate before this returns."""
        try:
            return await self._process.render(wanted, on_step)
        finally:
            if self._process.ready is None:
                self._gate.forbid(RENDERER)

    async def abort(self) -> None:
        await self._process.abort()

    def receipt(self, wanted: JobInput) -> Receipt:
        """What is going to render it. Call it while the process is warm."""
        ready = self._process.ready
        assert ready is not None
        return Receipt(ready.model_revision, wanted.scheduler, ready.dtype, ready.device, ready.versions)

    async def stop(self) -> None:
        await self._process.stop()

    async def _restart(self) -> Ready:
        for _ in range(RESTARTS - 1):
            try:
                return await self._process.restart()
            except StartupError as error:
                log.warning("render process did not start", error=error.message, retry_seconds=PAUSE_SECONDS)
                await asyncio.sleep(PAUSE_SECONDS)
        return await self._process.restart()


def _announce(ready: Ready) -> None:
    log.info(
        "model is warm",
        device=ready.device,
        dtype=ready.dtype,
        model_revision=ready.model_revision,
        load_seconds=round(ready.load_seconds, 2),
        warmup_seconds=round(ready.warmup_seconds, 2),
    )
    if ready.device == "cpu":
        log.warning("rendering on the CPU, because DARKROOM_DEVICE says so; a GPU is many times faster")
