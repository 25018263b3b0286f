"""The warm-up renders before the first job: kernels selected, compiled or captured, memory allocated."""

import time
from threading import Event

from darkroom_contracts.api import JobInput
from gpu_consumer.protocol import FailureKind, Load, RenderFailed, RenderRequest, Size
from gpu_consumer.render.pipeline import Pipeline
from gpu_consumer.render.progress import Progressed
from gpu_consumer.startup import ModelRefusedError, RenderProcessFailedError

STEPS = 2
"""Steps of a warm-up render, with a preview after the first."""


def warm_up(pipeline: Pipeline, load: Load) -> None:
    """Render and decode one picture of each size, and log the time.

    Raises ModelRefusedError, and RenderProcessFailedError when memory or the device fails.

    If CUDA graphs are enabled, those of each size are captured after its render. After a failed capture the size is
    rendered again, which fails if the capture made the device unusable.
    """
    for size in load.sizes:
        started = time.perf_counter()
        failed = pipeline.engines.failed_captures
        with pipeline.engines.capturing(size):
            _render(pipeline, load, size)
        if pipeline.engines.failed_captures > failed:
            _render(pipeline, load, size)
        seconds = time.perf_counter() - started
        print(f"warm-up of {size.width}x{size.height} took {seconds:.2f} s", flush=True)  # noqa: T201 - goes to the log


def _render(pipeline: Pipeline, load: Load, size: Size) -> None:
    """Render one picture. Raises as `warm_up` does."""
    outcome = pipeline.render(RenderRequest(_input(load, size)), _ignore, Event())
    if isinstance(outcome, RenderFailed):
        reason = " ".join(outcome.message.split())
        refusal = ModelRefusedError if outcome.kind is FailureKind.PERMANENT else RenderProcessFailedError
        raise refusal(f"The model in {load.folder} failed its warm-up render of {size.width}x{size.height}: {reason}")


def _ignore(progressed: Progressed) -> None:
    """Ignore the progress of a warm-up render."""


def _input(load: Load, size: Size) -> JobInput:
    return JobInput(
        prompt="a warm-up",
        negative_prompt="",
        num_inference_steps=STEPS,
        guidance_scale=load.guidance_scale,
        scheduler=load.scheduler,
        width=size.width,
        height=size.height,
        seed=0,
        num_images=1,
        output_format="png",
        preview_every=1,
    )
