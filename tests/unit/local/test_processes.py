"""Finding and stopping the processes of a stack."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from darkroom_local import processes

SLEEP = "import time; print('up', flush=True); time.sleep(600)"
POLITE = f"import signal; signal.signal(signal.SIGTERM, lambda *_: exit(print('bye'))); {SLEEP}"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"


@contextmanager
def marked(home: Path, code: str = SLEEP) -> Iterator[subprocess.Popen[str]]:
    """Run a process with the mark of the stack in this folder."""
    environment = {**os.environ, processes.MARK: str(home), "SUPERVISOR_PROCESS_NAME": "sleeper"}
    child = subprocess.Popen((sys.executable, "-c", code), env=environment, stdout=subprocess.PIPE, text=True)
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "up\n"
        try:
            yield child
        finally:
            child.kill()


def test_only_the_stacks_own_processes_are_found(tmp_path: Path) -> None:
    """Processes of other stacks and all other processes are not found."""
    with marked(tmp_path / "one") as ours, marked(tmp_path / "two"):
        found = processes.of_stack(tmp_path / "one")
        assert [process.pid for process in found] == [ours.pid]
        assert processes.program_name(found[0]) == "sleeper"


def test_a_process_gets_sigterm_first(tmp_path: Path) -> None:
    """A process that handles SIGTERM can finish."""
    with marked(tmp_path, POLITE) as child:
        processes.stop(processes.of_stack(tmp_path), seconds=30)
        assert child.stdout is not None
        assert child.stdout.read() == "bye\n"
        assert processes.of_stack(tmp_path) == []


def test_a_process_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    """A process that ignores SIGTERM is killed after its time."""
    with marked(tmp_path, STUBBORN):
        processes.stop(processes.of_stack(tmp_path), seconds=0.2)
        assert processes.of_stack(tmp_path) == []
