"""The service's handle on its render process: start it, render with it, replace it when it is lost."""

import asyncio
import contextlib
import signal
from collections.abc import Callable

import msgspec

from contracts.api import JobInput
from gpu_consumer.render import protocol
from gpu_consumer.render.child_process import REAP_SECONDS, ChildProcess, ConnectionLostError
from gpu_consumer.startup import RenderProcessFailedError, startup_error

OnStep = Callable[[protocol.Step], None]
"""Called on the event loop after each step; it must not block."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How long the render process may take, in seconds."""

    start: float = 300.0
    """From its start until the model is loaded and warm."""
    step: float = 120.0
    """From one sign of life to the next while rendering; then it counts as hung and is killed."""
    stop: float = 5.0


class RenderProcessLostError(Exception):
    """The render process died or was killed because it hung."""

    def __init__(self, reason: str, last_step: protocol.Step | None, last_lines: tuple[str, ...]) -> None:
        where = f"after step {last_step.step} of {last_step.steps}" if last_step else "before the first step"
        super().__init__(f"The render process was lost {where}: {reason}.")
        self.reason = reason
        """`SIGKILL`, `exit code 1`, or `hung for 120 s`."""
        self.last_step = last_step
        self.last_lines = last_lines
        """The end of its log, oldest line first."""


class RenderProcess:
    """One warm render process. It renders one request at a time and must be restarted after it was lost."""

    def __init__(self, load: protocol.Load, limits: Limits | None = None) -> None:
        self._load = load
        self._limits = limits or Limits()
        self._child: ChildProcess | None = None
        self._ready: protocol.Ready | None = None
        self._rendering = False

    @property
    def ready(self) -> protocol.Ready | None:
        """What was loaded, while the process lives and can render; else None."""
        return self._ready if self.pid is not None else None

    @property
    def pid(self) -> int | None:
        """None while there is no living process."""
        return self._child.pid if self._child is not None and self._child.returncode is None else None

    async def start(self) -> protocol.Ready:
        """Spawn the process and wait until its model is warm. Raises StartupError."""
        if self._child is not None:
            raise RuntimeError("The render process was started already; restart it.")
        self._child = await ChildProcess.spawn()
        try:
            self._ready = await self._load_model(self._child)
        finally:
            if self._ready is None:
                await self._child.kill()
                self._child = None
        return self._ready

    async def render(self, wanted: JobInput, on_step: OnStep) -> protocol.Outcome:
        """Render and answer with the outcome. After a `fatal` failure the process is gone, as after a loss.

        Raises RenderProcessLostError. When the call is canceled or `on_step` raises, the process is killed: to stop
        a render and keep the process warm, call `abort` and await the outcome.
        """
        child = self._started()
        if self._rendering:
            raise RuntimeError("The render process renders one request at a time.")
        self._rendering = True
        outcome: protocol.Outcome | None = None
        try:
            outcome = await self._converse(child, wanted, on_step)
        finally:
            self._rendering = False
            if outcome is None or _is_fatal(outcome):
                await child.kill()
        return outcome

    async def abort(self) -> None:
        """Stop the running render within one step; `render` returns Aborted, unless it was done already."""
        if self._rendering:
            with contextlib.suppress(ConnectionLostError):  # `render` meets the same loss and raises it
                await self._started().send(protocol.Abort())

    async def wait_lost(self) -> RenderProcessLostError:
        """Wait until the process is gone, idle or rendering, and tell why."""
        child = self._started()
        await child.wait()
        return RenderProcessLostError(_describe(child.returncode), None, child.last_lines)

    async def restart(self) -> protocol.Ready:
        """Replace the process, whatever its state. Raises StartupError."""
        await self.stop()
        return await self.start()

    async def stop(self) -> None:
        """End the process, a running render with it. Stopping twice does no harm."""
        child, self._child, self._ready = self._child, None, None
        if child is not None:
            await child.end(self._limits.stop)

    def _started(self) -> ChildProcess:
        if self._child is None:
            raise RuntimeError("The render process was not started.")
        return self._child

    async def _load_model(self, child: ChildProcess) -> protocol.Ready:
        try:
            async with asyncio.timeout(self._limits.start):
                await child.send(self._load)
                event = await child.receive()
        except TimeoutError as error:
            message = f"The render process was not ready within {self._limits.start:g} s."
            raise RenderProcessFailedError(message) from error
        except ConnectionLostError as error:
            await child.end(REAP_SECONDS)
            raise RenderProcessFailedError(_died_loading(child)) from error
        match event:
            case protocol.Ready():
                return event
            case protocol.StartupFailed():
                raise startup_error(event.code, event.message)
            case _:
                raise RenderProcessFailedError(f"The render process answered {type(event).__name__} to Load.")

    async def _converse(self, child: ChildProcess, wanted: JobInput, on_step: OnStep) -> protocol.Outcome:
        last_step: protocol.Step | None = None
        try:
            await child.send(protocol.RenderRequest(wanted))
            while isinstance(event := await self._receive(child), protocol.Step | protocol.Preview):
                if isinstance(event, protocol.Step):
                    last_step = event
                    on_step(event)
        except _HungError as error:
            await child.kill()
            raise RenderProcessLostError(str(error), last_step, child.last_lines) from error
        except ConnectionLostError as error:
            await child.end(REAP_SECONDS)
            raise RenderProcessLostError(_describe(child.returncode), last_step, child.last_lines) from error
        if isinstance(event, protocol.Ready | protocol.StartupFailed):
            raise RenderProcessLostError(f"answered {type(event).__name__} to a request", last_step, child.last_lines)
        return event

    async def _receive(self, child: ChildProcess) -> protocol.Event:
        try:
            async with asyncio.timeout(self._limits.step):
                return await child.receive()
        except TimeoutError as error:
            raise _HungError(f"hung for {self._limits.step:g} s") from error


class _HungError(Exception):
    """No sign of life within the limit."""


def _is_fatal(outcome: protocol.Outcome) -> bool:
    return isinstance(outcome, protocol.RenderFailed) and outcome.kind == "fatal"


def _describe(returncode: int | None) -> str:
    if returncode is not None and returncode < 0:
        return signal.Signals(-returncode).name
    return f"exit code {returncode}"


def _died_loading(child: ChildProcess) -> str:
    lines = child.last_lines
    last = f"; its last words: {lines[-1]}" if lines else ""
    return f"The render process died while it loaded the model ({_describe(child.returncode)}){last}."
