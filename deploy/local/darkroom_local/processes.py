"""Finding and stopping the processes of a stack, with or without its supervisor."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil

MARK = "DARKROOM_STACK"
"""In the environment of every process of a stack; the value is its folder."""


def of_stack(home: Path) -> list[psutil.Process]:
    """All processes that were started for the stack in this folder."""
    return [process for process in psutil.process_iter() if _environment(process).get(MARK) == str(home)]


def program_name(process: psutil.Process) -> str | None:
    """Which program of the stack it is, as supervisord told it; None for supervisord itself."""
    return _environment(process).get("SUPERVISOR_PROCESS_NAME")


def stop(processes: Iterable[psutil.Process], seconds: float) -> None:
    """Ask them to stop, and kill what still runs after so long."""
    processes = list(processes)
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, stubborn = psutil.wait_procs(processes, timeout=seconds)
    for process in stubborn:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(stubborn, timeout=10)


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return dict(process.environ())
    except (psutil.Error, OSError):
        return {}
