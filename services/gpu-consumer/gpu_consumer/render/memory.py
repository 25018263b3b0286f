"""How much memory the model takes: on the GPU what torch allocated, on the CPU what the process holds."""

import gc
import os
import resource
from pathlib import Path

import torch

from gpu_consumer.protocol import Device

GIBIBYTE = 1 << 30
_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"
"""Sets the high-water mark of the resident set back to what is resident now (proc(5))."""


def held(device: Device) -> int:
    """Bytes in use now."""
    if device == "cuda":
        return torch.cuda.memory_allocated()
    return _status_bytes("VmRSS:")


def peak(device: Device) -> int:
    """Bytes in use at the highest since `reset_peak`; on the CPU, where the kernel can't reset, since the start."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return _status_bytes("VmHWM:")


def reset_peak(device: Device) -> None:
    """Begin a new measurement of the highest use."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return
    try:
        _CLEAR.write_text(_RESET_PEAK)
    except OSError:
        return  # no Linux, or a sandbox that forbids it: the peak is then that of the process's whole life


def total(device: Device) -> int:
    """Bytes that there are at all; on the GPU, those that this process may take."""
    if device == "cuda":
        return int(torch.cuda.get_device_properties().total_memory * torch.cuda.get_per_process_memory_fraction())
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def free_share() -> float:
    """Of the GPU's memory, between 0 and 1: what this process can still take, its own unused cache included.

    1 where no GPU is in use.
    """
    if not torch.cuda.is_initialized():
        return 1.0
    most = total("cuda")
    reserved, allocated = torch.cuda.memory_reserved(), torch.cuda.memory_allocated()
    left_on_the_gpu, _ = torch.cuda.mem_get_info()
    left_to_us = min(left_on_the_gpu, most - reserved)
    return max(0, left_to_us + reserved - allocated) / most


def release() -> None:
    """Give back what a failed render held. Call it outside the `except`: the traceback holds tensors."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def settle() -> None:
    """After the warm-up: what is alive now stays, so no later collection need walk through the libraries' objects."""
    gc.collect()
    gc.freeze()


def _status_bytes(field: str) -> int:
    if not _STATUS.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    lines = (line.split() for line in _STATUS.read_text().splitlines())
    return next((1024 * int(words[1]) for words in lines if words[0] == field), 0)
