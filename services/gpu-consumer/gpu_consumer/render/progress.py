"""Progress reports and the abort of a running render."""

from collections.abc import Callable
from threading import Event
from typing import Any, Protocol

import torch
from diffusers import DiffusionPipeline

from gpu_consumer import protocol
from gpu_consumer.protocol import Preview, Step

Progressed = protocol.Progressed
Report = Callable[[Progressed], None]
"""Called after each step and each picture, on the render thread."""


class Fence(Protocol):
    """The interface of device.StepFence."""

    def pass_step(self) -> int: ...

    def drain(self) -> int: ...


class Previewer(Protocol):
    """The interface of previews.Previews."""

    def take(self, step: int, latents: torch.Tensor) -> None:
        """Enqueue the preview of a step, if one is due."""

    def after(self, step: int) -> Preview | None:
        """Return the preview of a completed step, if one was enqueued."""


class RenderAborted(Exception):  # noqa: N818 - a request carried out, not an error
    """The render was aborted.

    diffusers' own `_interrupt` would still run the VAE. This exception, raised from the step callback, ends the
    pipeline call at once and leaves no state behind: the next render is bit-identical to one in a fresh process.
    """

    def __init__(self, step: int) -> None:
        super().__init__(f"aborted after step {step}")
        self.step = step


class Progress:
    """The step counter of one render, over all its batches: reports completed steps and raises on abort.

    Steps of a batch that ran out of memory stay in the count: the total grows, and no step is reported twice.
    """

    def __init__(self, report: Report, abort: Event, fence: Fence, previewer: Previewer | None = None) -> None:
        self._report = report
        self._abort = abort
        self._fence = fence
        self._previewer = previewer
        self._batches_left = 1
        self._before = 0
        self._enqueued = 0
        self._reported = 0
        self._total = 0

    @property
    def steps(self) -> int:
        """Number of steps made so far."""
        return self._enqueued

    def begin_batch(self, batches_left: int) -> None:
        """Begin a batch. `batches_left` counts it and those after it, for the estimate of the total."""
        self._batches_left = batches_left
        self._before = self._enqueued

    def end_batch(self) -> None:
        """Wait until the device has completed the batch, and report its last step."""
        self._report_steps(self._fence.drain())
        self._previewer = None  # previews show the first picture, which is complete now

    def on_step_end(
        self, model: DiffusionPipeline, index: int, timestep: int, tensors: dict[str, Any]
    ) -> dict[str, Any]:
        """Count a step and report completed ones: diffusers' callback after each step of a batch."""
        self._enqueued += 1
        # The scheduler's own number, not num_inference_steps: pndm makes N+1 steps, heun 2N-1.
        self._total = self._before + self._batches_left * model.num_timesteps
        if self._previewer is not None and index + 1 < model.num_timesteps:
            self._previewer.take(self._enqueued, tensors["latents"])
        self._report_steps(self._fence.pass_step())
        self.raise_if_aborted()
        return {}

    def raise_if_aborted(self) -> None:
        """Raise RenderAborted if an abort was requested."""
        if self._abort.is_set():
            raise RenderAborted(self._reported)

    def _report_steps(self, done: int) -> None:
        while self._reported < done:
            self._reported += 1
            self._report(Step(self._reported, self._total))
            preview = self._previewer.after(self._reported) if self._previewer is not None else None
            if preview is not None:
                self._report(preview)
