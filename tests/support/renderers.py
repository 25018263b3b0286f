"""Which program a service starts as its render process."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gpu_consumer.renderer import child_process

REAL = child_process.PROGRAM
STAND_IN = "tests.support.stand_in_render"
FAULTY = "tests.support.faulty_render"
REPOSITORY = Path(__file__).parents[2]


@contextmanager
def rendered_by(program: str) -> Iterator[None]:
    """Let the render processes that this process starts meanwhile be `python -m PROGRAM`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(child_process, "PROGRAM", program)
        patch.setenv("PYTHONPATH", search_path())
        yield


def search_path() -> str:
    """Return a PYTHONPATH on which a child process finds `tests`."""
    return os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])])
