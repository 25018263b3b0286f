"""The device a pipeline runs on: confirmed at the start, held to the same results, kept in step."""

import os

import torch

from gpu_consumer.protocol import Device
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


def demand_determinism() -> None:
    """Let the same input give the same bytes on the same GPU. To be called before CUDA computes anything.

    cuDNN's benchmark mode would pick convolutions by stopwatch, another one on another day. What picks by shape
    instead costs little, since the shapes of a model are few. The workspace of fixed size is cuBLAS's own condition
    (its documentation, "Results reproducibility").
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


class StepFence:
    """Keeps Python at most one step ahead of the GPU, and tells how many steps are really done.

    CUDA kernels are only enqueued: without the fence progress would tell of work not begun, and an abort would find
    the whole render queued up.
    """

    def __init__(self, device: Device) -> None:
        self._lags = device == "cuda"
        self._done = 0
        self._pending: torch.cuda.Event | None = None

    def pass_step(self) -> int:
        """Mark the end of a step that was enqueued, wait for the end of the one before, return the steps done."""
        if not self._lags:
            self._done += 1
            return self._done
        event = torch.cuda.Event(blocking=True)  # sleeps in the driver: the service beside it needs the processor
        event.record()
        done = self.drain()
        self._pending = event
        return done

    def drain(self) -> int:
        """Wait for the last step that was marked; the number of steps done."""
        if self._pending is not None:
            self._pending.synchronize()
            self._pending = None
            self._done += 1
        return self._done


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")
