"""The service's handle on its render process: start it, render with it, replace it when it is lost."""

import asyncio
import contextlib
from collections.abc import Callable

import msgspec

from darkroom_contracts.api import JobInput
from gpu_consumer import protocol
from gpu_consumer.renderer.child_process import REAP_SECONDS, ChildProcess, ConnectionLostError
from gpu_consumer.renderer.loss import STOPPED, Loss, LossKind
from gpu_consumer.startup import RenderProcessFailedError, RenderProcessStuckError, startup_error

OnStep = Callable[[protocol.Step], None]
"""Called on the event loop after each step; it must not block."""
OnPreview = Callable[[protocol.Preview], None]
"""Called on the event loop for each preview; it must not block."""
OnPicture = Callable[[protocol.Picture], None]
"""Called on the event loop for each picture as soon as it is decoded, in order; it must not block."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How long the render process may take, in seconds."""

    start: float = 300.0
    """Until the model is loaded and warm."""
    step: float = 120.0
    """Until the next event while it renders, decoding included; then it counts as hung and is killed."""
    stop: float = 5.0
    """Until it has exited after its connection was closed; then it is killed."""


class RenderProcessLostError(Exception):
    """The render process died or was killed because it hung."""

    def __init__(self, loss: Loss, last_step: protocol.Step | None, last_lines: tuple[str, ...]) -> None:
        where = f"after step {last_step.step} of {last_step.steps}" if last_step else "before the first step"
        super().__init__(f"The render process was lost {where}: {loss.reason}.")
        self.loss = loss
        self.last_step = last_step
        self.last_lines = last_lines
        """The last lines of its output, oldest first."""


class RenderProcess:
    """One warm render process. It renders one request at a time and must be restarted after a loss."""

    def __init__(self, load: protocol.Load, limits: Limits | None = None) -> None:
        self._load = load
        self._limits = limits or Limits()
        self._child: ChildProcess | None = None
        self._ready: protocol.Ready | None = None
        self._rendering = False
        self._last_lines: tuple[str, ...] = ()

    @property
    def warm_sizes(self) -> tuple[protocol.Size, ...]:
        """The sizes that are rendered once before a process is ready."""
        return self._load.sizes

    @property
    def last_lines(self) -> tuple[str, ...]:
        """The last lines of the output of the latest render that failed."""
        return self._last_lines

    @property
    def ready(self) -> protocol.Ready | None:
        """The process's report on what it loaded; None unless it lives and can render."""
        return self._ready if self._child is not None and self.pid is not None and not self._child.stuck else None

    @property
    def pid(self) -> int | None:
        """None while no process lives."""
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
                await self._child.kill(STOPPED)
                self._child = None
        return self._ready

    async def render(
        self,
        wanted: JobInput,
        on_step: OnStep,
        *,
        on_picture: OnPicture | None = None,
        on_preview: OnPreview | None = None,
        frugal: bool = False,
    ) -> protocol.Outcome:
        """Render and return the outcome. A `fatal` failure ends the process, as a loss does.

        The pictures go to `on_picture` and are not kept; they count only when the outcome is Rendered.

        Raises RenderProcessLostError. When the call is canceled or a callback raises, the process is killed: to stop
        a render and keep the process warm, call `abort` and await the outcome.
        """
        child = self._started()
        if self._rendering:
            raise RuntimeError("The render process renders one request at a time.")
        self._rendering = True
        mark = child.line_count
        outcome: protocol.Outcome | None = None
        try:
            conversation = _Conversation(
                child, self._limits.step, on_step, on_picture or _ignore, on_preview or _ignore
            )
            outcome = await conversation.hold(protocol.RenderRequest(wanted, frugal))
        finally:
            self._rendering = False
            if outcome is None:
                await child.kill(STOPPED)
        if isinstance(outcome, protocol.RenderFailed):
            if outcome.kind is protocol.FailureKind.FATAL:
                await child.kill(Loss(LossKind.DEVICE_LOST, outcome.message))
            self._last_lines = await child.lines_since(mark)
        return outcome

    async def condemn(self, loss: Loss) -> None:
        """Kill the process for the reason `loss`, which `wait_lost` returns."""
        if self._child is not None:
            await self._child.kill(loss)

    async def abort(self) -> None:
        """Stop the running render within one step. `render` returns Aborted, unless it had finished."""
        if self._rendering:
            with contextlib.suppress(ConnectionLostError):  # `render` raises the same loss
                await self._started().send(protocol.Abort())

    async def wait_lost(self) -> RenderProcessLostError:
        """Wait until the process is lost, idle or rendering, and return why."""
        child = self._started()
        await child.wait()
        return RenderProcessLostError(child.loss, None, child.last_lines)

    async def restart(self) -> protocol.Ready:
        """Replace the process, whatever its state. Raises StartupError.

        Raises RenderProcessStuckError if the old process survived SIGKILL: it still holds the GPU.
        """
        child = self._child
        await self.stop()
        if child is not None and child.stuck:
            raise RenderProcessStuckError(
                f"The render process, pid {child.pid}, survived SIGKILL, so it is stuck in the GPU's driver and still"
                " holds the GPU. If it stays (ps shows state D), restart the machine."
            )
        return await self.start()

    async def stop(self) -> None:
        """End the process and a running render. Stopping twice does no harm."""
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


class _Conversation:
    """One request, and the events that answer it."""

    def __init__(
        self,
        child: ChildProcess,
        silence_seconds: float,
        on_step: OnStep,
        on_picture: OnPicture,
        on_preview: OnPreview,
    ) -> None:
        self._child = child
        self._silence_seconds = silence_seconds
        self._on_step = on_step
        self._on_picture = on_picture
        self._on_preview = on_preview
        self._last_step: protocol.Step | None = None

    async def hold(self, request: protocol.RenderRequest) -> protocol.Outcome:
        """Send the request and return its outcome. Raises RenderProcessLostError."""
        try:
            await self._child.send(request)
            while isinstance(event := await self._receive(), protocol.Progressed):
                self._pass_on(event)
        except TimeoutError as error:
            loss = Loss(LossKind.HUNG, f"hung for {self._silence_seconds:g} s")
            raise await self._lost(loss) from error
        except ConnectionLostError as error:
            await self._child.end(REAP_SECONDS, Loss(LossKind.PROTOCOL, "closed its connection"))
            raise await self._lost(self._child.loss) from error
        if isinstance(event, protocol.Ready | protocol.StartupFailed):
            raise await self._lost(Loss(LossKind.PROTOCOL, f"answered {type(event).__name__} to a request"))
        return event

    async def _receive(self) -> protocol.Event:
        """Return the next event. Raises TimeoutError when none comes in time."""
        async with asyncio.timeout(self._silence_seconds):
            return await self._child.receive()

    def _pass_on(self, event: protocol.Progressed) -> None:
        match event:
            case protocol.Step():
                self._last_step = event
                self._on_step(event)
            case protocol.Picture():
                self._on_picture(event)
            case protocol.Preview():
                self._on_preview(event)

    async def _lost(self, loss: Loss) -> RenderProcessLostError:
        await self._child.kill(loss)
        return RenderProcessLostError(loss, self._last_step, self._child.last_lines)


def _ignore(event: protocol.Picture | protocol.Preview) -> None:
    """Ignore the event."""


def _died_loading(child: ChildProcess) -> str:
    lines = child.last_lines
    last = f"; its last output: {lines[-1]}" if lines else ""
    return f"The render process died while it loaded the model ({child.loss.reason}){last}."
