"""Memory in use: torch's allocations on a GPU, the process's resident set on a CPU."""

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
"""Resets the peak resident set size to the current one (proc(5), `/proc/pid/clear_refs`)."""


def held(device: Device) -> int:
    """Return the bytes in use now."""
    if device == "cuda":
        return torch.cuda.memory_allocated()
    return _status_bytes("VmRSS:")


def peak(device: Device) -> int:
    """Return the peak of bytes in use since `reset_peak`, or since the process's start where it can't be reset."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return _status_bytes("VmHWM:")


def reset_peak(device: Device) -> None:
    """Reset the peak to the current use."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return
    try:
        _CLEAR.write_text(_RESET_PEAK)
    except OSError:
        return  # not Linux, or forbidden by a sandbox: the peak is then counted from the process's start


def total(device: Device) -> int:
    """Return the total bytes of the device; on a GPU, the share that this process is allowed to use."""
    if device == "cuda":
        return int(torch.cuda.get_device_properties().total_memory * torch.cuda.get_per_process_memory_fraction())
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def free_share() -> float:
    """Return the share of GPU memory available to this process, 0 to 1, including torch's unused cache.

    Returns 1 when no GPU is in use.
    """
    if not torch.cuda.is_initialized():
        return 1.0
    most = total("cuda")
    reserved, allocated = torch.cuda.memory_reserved(), torch.cuda.memory_allocated()
    free_on_gpu, _ = torch.cuda.mem_get_info()
    allowed = min(free_on_gpu, most - reserved)
    return max(0, allowed + reserved - allocated) / most


def release() -> None:
    """Free the memory of a failed render. Call it outside the `except` block, whose traceback refers to tensors."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def freeze_objects() -> None:
    """Exclude all objects alive after the warm-up from later garbage collections, since they stay alive."""
    gc.collect()
    gc.freeze()


def _status_bytes(field: str) -> int:
    if not _STATUS.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    lines = (line.split() for line in _STATUS.read_text().splitlines())
    return next((1024 * int(words[1]) for words in lines if words[0] == field), 0)
