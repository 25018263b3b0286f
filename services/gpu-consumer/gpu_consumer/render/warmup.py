"""The renders before the first job: kernels chosen or compiled, memory reserved, the map of previews fitted."""

import time
from threading import Event

from contracts.api import JobInput
from gpu_consumer.render.pipeline import Pipeline
from gpu_consumer.render.progress import Progressed
from gpu_consumer.render.protocol import Load, RenderFailed, RenderRequest, Size
from gpu_consumer.startup import ModelRefusedError

STEPS = 2
"""With a preview after the first."""


def warm_up(pipeline: Pipeline, load: Load) -> None:
    """Render one picture of each size, decode included, with a line in the log for each. Raises ModelRefusedError."""
    for size in load.sizes:
        started = time.perf_counter()
        outcome = pipeline.render(RenderRequest(_input(load.scheduler, size)), _ignore, Event())
        if isinstance(outcome, RenderFailed):
            reason = " ".join(outcome.message.split())
            raise ModelRefusedError(
                f"The model in {load.folder} failed its warm-up render of {size.width}x{size.height}: {reason}"
            )
        seconds = time.perf_counter() - started
        print(f"warm for {size.width}x{size.height} after {seconds:.2f} s", flush=True)  # noqa: T201 - goes to the log


def _ignore(progressed: Progressed) -> None:
    """Nobody watches the warm-up."""


def _input(scheduler: str, size: Size) -> JobInput:
    return JobInput(
        prompt="a warm-up",
        negative_prompt="",
        num_inference_steps=STEPS,
        guidance_scale=7.5,
        scheduler=scheduler,
        width=size.width,
        height=size.height,
        seed=0,
        num_images=1,
        output_format="png",
        preview_every=1,
    )
