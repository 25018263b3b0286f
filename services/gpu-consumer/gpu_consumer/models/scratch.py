"""A folder to work in, beside the one that is to be made, so that the result is put in place by one rename."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class ScratchBusyError(Exception):
    """Another process works there; the message is one sentence."""


@contextmanager
def scratch_beside(folder: Path) -> Iterator[Path]:
    """An empty folder on the same file system that only this process works in, gone afterwards.

    A process that is killed leaves it, and the next one clears it. Its name is never used twice: what a killed process
    had started may still write for a moment. Raises ScratchBusyError.
    """
    scratch = folder.parent / f".{folder.name}-import"
    scratch.mkdir(exist_ok=True)
    handle = os.open(scratch, os.O_RDONLY)
    try:
        _lock(handle, scratch)
        _clear(scratch)
        try:
            yield Path(tempfile.mkdtemp(dir=scratch))
        finally:
            shutil.rmtree(scratch)
    finally:
        os.close(handle)


def _lock(handle: int, scratch: Path) -> None:
    """The lock ends with the process. Raises ScratchBusyError, also when the one before took the folder away."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(handle).st_ino == scratch.stat().st_ino:
            return
    except (BlockingIOError, FileNotFoundError):
        pass
    raise ScratchBusyError(f"Another import is at work in {scratch}; try again when it is done.")


def _clear(scratch: Path) -> None:
    for left in scratch.iterdir():
        shutil.rmtree(left)
