"""Kills by the kernel for lack of memory, in the control group of the render process.

Only a counter distinguishes such a kill from any other SIGKILL: `oom_kill` of the control group (cgroups(7):
`memory.events` in version 2, `memory.oom_control` in version 1), or that of the whole machine in /proc/vmstat.
"""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")


class KillCount:
    """The counter of kills in the control group of a live process."""

    def __init__(self, pid: int, root: Path = ROOT) -> None:
        files = [*_group_files(pid, root), root / "proc/vmstat"]
        self._file = next((file for file in files if _read(file) is not None), None)
        self._before = self._now()

    def rose(self) -> bool:
        """Return whether there was a kill since this object was made."""
        return self._now() > self._before

    def _now(self) -> int:
        count = None if self._file is None else _read(self._file)
        return 0 if count is None else count


def _group_files(pid: int, root: Path) -> Iterator[Path]:
    """Yield the files that may count for the group. In a container its path may be the host's; the mount is right."""
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
    """Return the file's `oom_kill`, or None without one."""
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
