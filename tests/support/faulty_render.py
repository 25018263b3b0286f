"""`python -m tests.support.faulty_render FD`: the real render process, whose model breaks where a prompt says so.

What the render process makes of it is the product's own.
"""

from collections.abc import Callable

import torch

from darkroom_contracts.api import JobInput
from gpu_consumer.render.__main__ import main
from gpu_consumer.render.pipeline import Pipeline
from gpu_consumer.render.previews import Previews
from gpu_consumer.render.progress import Progress
from tests.support.render_faults import DEVICE_LOST, NO_MEMORY_ONCE, NOT_FINITE, PROCESS_FAULTS, RAISES


def _raise(error: Exception) -> None:
    raise error


_calls_without_memory = 0


def _no_memory_once() -> None:
    global _calls_without_memory
    _calls_without_memory += 1
    if _calls_without_memory == 1:
        raise torch.OutOfMemoryError("CUDA out of memory.")


FAULTS: dict[str, Callable[[], object]] = PROCESS_FAULTS | {
    DEVICE_LOST: lambda: _raise(torch.AcceleratorError("CUDA error: an illegal memory access was encountered")),
    RAISES: lambda: _raise(KeyError("sample")),
    NO_MEMORY_ONCE: _no_memory_once,
}


def break_as_told() -> None:
    denoise = Pipeline._denoise

    def broken(
        self: Pipeline, wanted: JobInput, seeds: list[int], progress: Progress, previews: Previews | None
    ) -> torch.Tensor:
        latents = denoise(self, wanted, seeds, progress, previews)
        if wanted.prompt in FAULTS:
            FAULTS[wanted.prompt]()
        return latents * float("nan") if wanted.prompt == NOT_FINITE else latents

    Pipeline._denoise = broken  # type: ignore[method-assign]


if __name__ == "__main__":
    break_as_told()
    main()
