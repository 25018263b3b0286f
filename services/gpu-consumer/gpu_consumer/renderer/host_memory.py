"""Whether the kernel kills processes for lack of memory, where the render process lives.

Nothing tells a process that was killed so from one that somebody sent SIGKILL, but a counter: `oom_kill` of its control
group (cgroups(7): `memory.events` in version 2, `memory.oom_control` in version 1), or else that of the whole machine
in /proc/vmstat.
"""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")


class KillCount:
    """The counter that counts the kills of one process's group, found while that process lives."""

    def __init__(self, pid: int, root: Path = ROOT) -> None:
        files = [*_group_files(pid, root), root / "proc/vmstat"]
        self._file = next((file for file in files if _read(file) is not None), None)
        self._before = self._now()

    def rose(self) -> bool:
        """Whether there was a kill since this was made."""
        return self._now() > self._before

    def _now(self) -> int:
        count = None if self._file is None else _read(self._file)
        return 0 if count is None else count


def _group_files(pid: int, root: Path) -> Iterator[Path]:
    """Where the process's own group counts. In a container its path may be the host's: then the mount is the group."""
    for line in _lines(root / f"proc/{pid}/cgroup"):
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            mount, name = root / "sys/fs/cgroup/memory", "memory.oom_control"
        elif not controllers:
            mount, name = root / "sys/fs/cgroup", "memory.events"
        else:
            continue
        yield mount / path.lstrip("/") / name
        yield mount / name


def _read(file: Path) -> int | None:
    """The file's `oom_kill`; None where it has none."""
    for line in _lines(file):
        name, _, value = line.partition(" ")
        if name == "oom_kill":
            return int(value)
    return None


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:
        return []
