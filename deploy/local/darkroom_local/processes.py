"""Finding and stopping the processes of a stack, with or without its supervisor."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil

MARK = "DARKROOM_STACK"
"""Environment variable of every process of a stack. Its value is the stack's folder."""


def of_stack(home: Path) -> list[psutil.Process]:
    """Return all processes of the stack in this folder, supervisord included."""
    return [process for process in psutil.process_iter() if _environment(process).get(MARK) == str(home)]


def program_name(process: psutil.Process) -> str | None:
    """Return the name of the program that the process runs, or None for supervisord itself."""
    return _environment(process).get("SUPERVISOR_PROCESS_NAME")


def stop(processes: Iterable[psutil.Process], seconds: float) -> None:
    """Terminate the processes, and kill those that still run after `seconds`."""
    processes = list(processes)
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, remaining = psutil.wait_procs(processes, timeout=seconds)
    for process in remaining:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(remaining, timeout=10)


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return dict(process.environ())
    except (psutil.Error, OSError):
        return {}
