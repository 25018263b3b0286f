"""The device a pipeline runs on: confirmed at the start, kept in step, cleaned up after a failure."""

import gc

import torch

from gpu_consumer.render.protocol import Device
from gpu_consumer.startup import DeviceMissingError


def confirm(device: Device) -> str:
    """The device's name, once it has computed something. Raises DeviceMissingError."""
    if device == "cpu":
        return "cpu"
    if not torch.cuda.is_available():
        raise DeviceMissingError(
            "No CUDA device is available to this process; start it on a machine with a GPU and its driver, "
            "or set DARKROOM_DEVICE=cpu to render slowly on the CPU."
        )
    try:
        torch.ones(8, device="cuda").sum().item()
    except RuntimeError as error:
        raise DeviceMissingError(f"The CUDA device does not compute: {_first_line(error)}.") from error
    return torch.cuda.get_device_name()


def limit_threads(count: int) -> None:
    """Let torch compute with at most `count` threads: the service beside it needs the processor too."""
    torch.set_num_threads(count)


def dtype_for(device: Device) -> torch.dtype:
    """Half precision on a GPU; on a CPU it would be far slower than single."""
    return torch.float16 if device == "cuda" else torch.float32


def release_memory() -> None:
    """Give back what a failed render held. Call it outside the `except`: the traceback holds tensors."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


class StepFence:
    """Keeps Python at most one step ahead of the GPU.

    CUDA kernels are only enqueued: without the fence progress would tell of work not begun, and an abort would find
    the whole render queued up.
    """

    def __init__(self, device: Device) -> None:
        self._enabled = device == "cuda"
        self._previous: torch.cuda.Event | None = None

    def pass_step(self) -> None:
        """Mark the end of this step and wait for the end of the one before."""
        if not self._enabled:
            return
        event = torch.cuda.Event()
        event.record()
        if self._previous is not None:
            self._previous.synchronize()
        self._previous = event


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")
