"""Which program a service starts as its render process."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from gpu_consumer.renderer import child_process

REAL = child_process.PROGRAM
STAND_IN = "tests.support.stand_in_render"
FAULTY = "tests.support.faulty_render"
STAND_IN_WORKER = (sys.executable, "-m", "tests.support.stand_in_worker")
"""Command of a worker that renders with the stand-in; it needs `search_path`."""
REPOSITORY = Path(__file__).parents[2]


@contextmanager
def rendered_by(program: str) -> Iterator[None]:
    """Let the render processes that this process starts meanwhile be `python -m PROGRAM`."""
    with patch.object(child_process, "PROGRAM", program), patch.dict(os.environ, PYTHONPATH=search_path()):
        yield


def use_stand_in() -> None:
    """Start the stand-in from now on. For a process that is nothing but a worker."""
    child_process.PROGRAM = STAND_IN


def search_path() -> str:
    """Return a PYTHONPATH on which a child process finds `tests`."""
    return os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])])
