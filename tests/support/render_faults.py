"""Prompts at which a render process of the tests breaks, after the last step of denoising.

Those of `PROCESS_FAULTS` befall the process itself, whatever it renders with; the rest is a model's, and PyTorch's.
A stand-in whose environment has WORKER_FAULT fails at every prompt.
"""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from darkroom_contracts.api import JobInput

KILLED, CRASHES, HANGS, DEVICE_LOST = "is killed", "crashes", "hangs", "loses its device"
NOT_FINITE, RAISES, NO_MEMORY_ONCE = "makes no numbers", "raises", "has no memory once"
DECODES_SLOWLY = "decodes slowly"
CRASHES_WIDE = "crashes when wide"
"""Crashes a stand-in at pictures that are wider than NARROW."""
NARROW = 64
DECODE_GATE = "TESTS_DECODE_GATE"
"""The environment variable that names a file: a job that decodes slowly waits until the file exists."""
WORKER_FAULT = "TESTS_WORKER_FAULT"
"""The environment variable that holds the code of the failure in which every render of a stand-in ends."""


def _wait_at_the_gate() -> None:
    gate = Path(os.environ[DECODE_GATE])
    while not gate.exists():
        time.sleep(0.005)


PROCESS_FAULTS: dict[str, Callable[[], object]] = {
    KILLED: lambda: os.kill(os.getpid(), signal.SIGKILL),
    CRASHES: lambda: os.kill(os.getpid(), signal.SIGSEGV),
    HANGS: lambda: time.sleep(1000),
    DECODES_SLOWLY: _wait_at_the_gate,
}


def process_fault(wanted: JobInput) -> Callable[[], object] | None:
    """Return what befalls a stand-in's process at an input."""
    if wanted.prompt == CRASHES_WIDE and wanted.width > NARROW:
        return PROCESS_FAULTS[CRASHES]
    return PROCESS_FAULTS.get(wanted.prompt)
