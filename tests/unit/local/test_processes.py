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
    """A process that runs and carries the mark of the stack in this folder."""
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
    """Another stack's processes and everybody else's are none of this one's."""
    with marked(tmp_path / "one") as ours, marked(tmp_path / "two"):
        found = processes.of_stack(tmp_path / "one")
        assert [process.pid for process in found] == [ours.pid]
        assert processes.program_name(found[0]) == "sleeper"


def test_a_process_is_asked_first(tmp_path: Path) -> None:
    """What stops when asked has the time to say goodbye."""
    with marked(tmp_path, POLITE) as child:
        processes.stop(processes.of_stack(tmp_path), seconds=30)
        assert child.stdout is not None
        assert child.stdout.read() == "bye\n"
        assert processes.of_stack(tmp_path) == []


def test_a_stubborn_process_is_killed(tmp_path: Path) -> None:
    """What ignores the request is killed after its time."""
    with marked(tmp_path, STUBBORN):
        processes.stop(processes.of_stack(tmp_path), seconds=0.2)
        assert processes.of_stack(tmp_path) == []
