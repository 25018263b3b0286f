import os
import subprocess
import sys

from bench.measures import cpu_seconds

BUSY = "import time\nwhile time.process_time() < 0.3: pass"


def test_cpu_time_of_ended_children_counts() -> None:
    """The CPU time of a process includes that of its children that have ended."""
    before = cpu_seconds(os.getpid())
    subprocess.run([sys.executable, "-c", BUSY], check=True)
    assert cpu_seconds(os.getpid()) - before >= 0.29
