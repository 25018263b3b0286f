"""The kernel's counters of kills for lack of memory, as files under a stand-in root."""

import os
from pathlib import Path

import pytest

from gpu_consumer.renderer.host_memory import KillCount

PID = 7
EVENTS = "low 0\nhigh 0\nmax 12\noom 1\noom_kill {}\noom_group_kill 0\n"
CONTROL = "oom_kill_disable 0\nunder_oom 0\noom_kill {}\n"
VMSTAT = "nr_free_pages 1\noom_kill {}\n"


def write(root: Path, file: str, text: str) -> None:
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_text(text)


@pytest.mark.parametrize(
    ("group", "file", "text"),
    [
        pytest.param("0::/pod/worker", "sys/fs/cgroup/pod/worker/memory.events", EVENTS, id="version 2"),
        pytest.param("0::/../host/path", "sys/fs/cgroup/memory.events", EVENTS, id="version 2, in a container"),
        pytest.param("4:memory:/w", "sys/fs/cgroup/memory/w/memory.oom_control", CONTROL, id="version 1"),
        pytest.param(
            "4:cpu,memory:/host/w", "sys/fs/cgroup/memory/memory.oom_control", CONTROL, id="1, in a container"
        ),
        pytest.param("0::/", "proc/vmstat", VMSTAT, id="no group of its own"),
        pytest.param("", "proc/vmstat", VMSTAT, id="no groups at all"),
    ],
)
def test_a_kill_is_seen_where_it_is_counted(tmp_path: Path, group: str, file: str, text: str) -> None:
    """The counter is the control group's, or the machine's without one."""
    write(tmp_path, "proc/vmstat", VMSTAT.format(5))
    write(tmp_path, f"proc/{PID}/cgroup", f"9:name=systemd:/\n{group}\n" if group else "")
    write(tmp_path, file, text.format(5))
    count = KillCount(PID, tmp_path)
    assert not count.rose()
    write(tmp_path, file, text.format(6))
    assert count.rose()


def test_a_kill_elsewhere_on_the_machine_is_another_s(tmp_path: Path) -> None:
    """The machine's counter is ignored if the group has one."""
    write(tmp_path, f"proc/{PID}/cgroup", "0::/worker\n")
    write(tmp_path, "sys/fs/cgroup/worker/memory.events", EVENTS.format(0))
    write(tmp_path, "proc/vmstat", VMSTAT.format(0))
    count = KillCount(PID, tmp_path)
    write(tmp_path, "proc/vmstat", VMSTAT.format(1))
    assert not count.rose()


def test_a_machine_that_counts_nothing_knows_of_no_kill(tmp_path: Path) -> None:
    """Without any counter no kill counts as one for lack of memory."""
    assert not KillCount(PID, tmp_path).rose()


def test_this_machine_counts() -> None:
    """The files of this machine have the expected form."""
    count = KillCount(os.getpid())
    assert count._file is not None
    assert not count.rose()
