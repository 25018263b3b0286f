"""`python -m tests.support.faulty_render FD`: the real render process, whose model breaks where a prompt says so.

The fault comes after the last step of denoising: what the render process makes of it is the product's own. A job that
decodes slowly waits there until the file exists that the environment's TESTS_DECODE_GATE names.
"""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import torch

from darkroom_contracts.api import JobInput
from gpu_consumer.render.__main__ import main
from gpu_consumer.render.pipeline import Pipeline
from gpu_consumer.render.previews import Previews
from gpu_consumer.render.progress import Progress

KILLED, CRASHES, HANGS, DEVICE_LOST = "is killed", "crashes", "hangs", "loses its device"
NOT_FINITE, RAISES, NO_MEMORY_ONCE = "makes no numbers", "raises", "has no memory once"
DECODES_SLOWLY = "decodes slowly"
DECODE_GATE = "TESTS_DECODE_GATE"


def _raise(error: Exception) -> None:
    raise error


_calls_without_memory = 0


def _no_memory_once() -> None:
    global _calls_without_memory
    _calls_without_memory += 1
    if _calls_without_memory == 1:
        raise torch.OutOfMemoryError("CUDA out of memory.")


def _wait_at_the_gate() -> None:
    gate = Path(os.environ[DECODE_GATE])
    while not gate.exists():
        time.sleep(0.005)


FAULTS: dict[str, Callable[[], object]] = {
    KILLED: lambda: os.kill(os.getpid(), signal.SIGKILL),
    CRASHES: lambda: os.kill(os.getpid(), signal.SIGSEGV),
    HANGS: lambda: time.sleep(1000),
    DEVICE_LOST: lambda: _raise(torch.AcceleratorError("CUDA error: an illegal memory access was encountered")),
    RAISES: lambda: _raise(KeyError("sample")),
    NO_MEMORY_ONCE: _no_memory_once,
    DECODES_SLOWLY: _wait_at_the_gate,
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
