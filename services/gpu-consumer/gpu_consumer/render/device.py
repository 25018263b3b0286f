"""The compute device: checked at startup, set to deterministic kernels, and kept at most one step behind Python."""

import os

import torch

from gpu_consumer.protocol import Device
from gpu_consumer.render.failures import is_out_of_memory
from gpu_consumer.startup import DeviceMissingError, RenderProcessFailedError


def confirm(device: Device) -> str:
    """Run a small computation on the device and return the device's name.

    Raises DeviceMissingError, and RenderProcessFailedError when other processes hold its memory.
    """
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
        if is_out_of_memory(error):
            raise RenderProcessFailedError(f"The CUDA device has no memory left: {_first_line(error)}.") from error
        raise DeviceMissingError(f"The CUDA device failed a test computation: {_first_line(error)}.") from error
    return torch.cuda.get_device_name()


def limit_threads(count: int) -> None:
    """Limit torch to `count` CPU threads, so that the service on the same machine gets processor time."""
    torch.set_num_threads(count)


def require_determinism() -> None:
    """Make the same input give the same bytes on the same GPU. Call it before CUDA computes anything.

    cuDNN's benchmark mode would choose convolution algorithms by measured time, which varies from run to run. Its
    heuristics by shape cost little, since a model has few shapes. cuBLAS requires a workspace of fixed size for
    reproducible results (its documentation, "Results reproducibility").
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


class StepFence:
    """Synchronization that keeps Python at most one step ahead of the GPU and counts the steps completed.

    CUDA kernels run asynchronously. Without the fence, progress would report steps that are only enqueued, and an abort
    would still have to wait for all of them.
    """

    def __init__(self, device: Device) -> None:
        self._lags = device == "cuda"
        self._done = 0
        self._pending: torch.cuda.Event | None = None

    def pass_step(self) -> int:
        """Record an event after the step just enqueued, wait for the previous step, and return the steps completed."""
        if not self._lags:
            self._done += 1
            return self._done
        event = torch.cuda.Event(blocking=True)  # a blocking wait leaves the processor to the service
        event.record()
        done = self.drain()
        self._pending = event
        return done

    def drain(self) -> int:
        """Wait for the last recorded step and return the number of steps completed."""
        if self._pending is not None:
            self._pending.synchronize()
            self._pending = None
            self._done += 1
        return self._done


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")
