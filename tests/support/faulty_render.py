"""`python -m tests.support.faulty_render FD`: the real render process, whose model breaks where a prompt says so.

The pipeline of diffusers is wrapped, after its last step: what the render process makes of it is the product's own.
"""

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import torch
from diffusers import StableDiffusionPipeline

from gpu_consumer.render.__main__ import main

KILLED, CRASHES, HANGS, DEVICE_LOST = "is killed", "crashes", "hangs", "loses its device"
NOT_FINITE, RAISES, NO_MEMORY_ONCE = "makes no numbers", "raises", "has no memory once"


def _raise(error: Exception) -> None:
    raise error


_calls_without_memory = 0


def _no_memory_once() -> None:
    global _calls_without_memory
    _calls_without_memory += 1
    if _calls_without_memory == 1:
        raise torch.OutOfMemoryError("CUDA out of memory.")


FAULTS: dict[str, Callable[[], object]] = {
    KILLED: lambda: os.kill(os.getpid(), signal.SIGKILL),
    CRASHES: lambda: os.kill(os.getpid(), signal.SIGSEGV),
    HANGS: lambda: time.sleep(1000),
    DEVICE_LOST: lambda: _raise(torch.AcceleratorError("CUDA error: an illegal memory access was encountered")),
    RAISES: lambda: _raise(KeyError("sample")),
    NO_MEMORY_ONCE: _no_memory_once,
}


def break_as_told() -> None:
    render = StableDiffusionPipeline.__call__

    def broken(self: Any, prompt: str, **arguments: Any) -> Any:
        answer = render(self, prompt, **arguments)
        if prompt in FAULTS:
            FAULTS[prompt]()
        if prompt == NOT_FINITE:
            answer.images *= float("nan")
        return answer

    StableDiffusionPipeline.__call__ = broken


if __name__ == "__main__":
    break_as_told()
    main()
