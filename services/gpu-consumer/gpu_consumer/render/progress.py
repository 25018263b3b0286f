"""What a render tells while it runs, and how it is stopped."""

from collections.abc import Callable
from threading import Event
from typing import Any, Protocol

import torch
from diffusers import DiffusionPipeline

from gpu_consumer import protocol
from gpu_consumer.protocol import Preview, Step

Progressed = protocol.Progressed
Report = Callable[[Progressed], None]
"""Called after each step and each picture, on the thread that renders."""


class Fence(Protocol):
    """As device.StepFence."""

    def pass_step(self) -> int: ...

    def drain(self) -> int: ...


class Previewer(Protocol):
    """As previews.Previews."""

    def take(self, step: int, latents: torch.Tensor) -> None:
        """Begin a preview of a step that was enqueued, if one is due after it."""

    def after(self, step: int) -> Preview | None:
        """The preview of a step that is done, if one was begun."""


class RenderAborted(Exception):  # noqa: N818 - an order carried out, not an error
    """The render was told to stop.

    diffusers' own `_interrupt` would still run the VAE. Raised from the step callback, this stops at once, and the
    next render is bit-identical to one that follows none.
    """

    def __init__(self, step: int) -> None:
        super().__init__(f"aborted after step {step}")
        self.step = step


class Progress:
    """Counts the steps of all batches of one render, reports them as they are done, and carries out the order to stop.

    A batch that did not fit into the memory leaves the steps that it made in the count: the total grows, and no step
    is ever told twice.
    """

    def __init__(self, report: Report, abort: Event, fence: Fence, previewer: Previewer | None = None) -> None:
        self._report = report
        self._abort = abort
        self._fence = fence
        self._previewer = previewer
        self._batches_left = 1
        self._before = 0
        self._enqueued = 0
        self._told = 0
        self._total = 0

    @property
    def steps(self) -> int:
        """Made so far."""
        return self._enqueued

    def begin_batch(self, batches_left: int) -> None:
        """The next steps are of the first of so many batches that are still to come."""
        self._batches_left = batches_left
        self._before = self._enqueued

    def end_batch(self) -> None:
        """Wait until the batch is done on the device, and tell of it."""
        self._tell(self._fence.drain())
        self._previewer = None  # it shows the first picture, which is ready now

    def on_step_end(
        self, model: DiffusionPipeline, index: int, timestep: int, tensors: dict[str, Any]
    ) -> dict[str, Any]:
        """diffusers' callback after each step of a batch."""
        self._enqueued += 1
        # Not what was asked for: pndm makes N+1, heun 2N-1.
        self._total = self._before + self._batches_left * model.num_timesteps
        if self._previewer is not None and index + 1 < model.num_timesteps:
            self._previewer.take(self._enqueued, tensors["latents"])
        self._tell(self._fence.pass_step())
        self.stop_if_told()
        return {}

    def stop_if_told(self) -> None:
        """Raises RenderAborted."""
        if self._abort.is_set():
            raise RenderAborted(self._told)

    def _tell(self, done: int) -> None:
        while self._told < done:
            self._told += 1
            self._report(Step(self._told, self._total))
            preview = self._previewer.after(self._told) if self._previewer is not None else None
            if preview is not None:
                self._report(preview)
