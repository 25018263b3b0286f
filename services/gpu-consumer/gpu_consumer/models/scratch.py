"""A locked scratch folder beside the target, so that the result is put in place by one rename."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class ScratchBusyError(Exception):
    """Another process holds the scratch folder; the message is one sentence."""


@contextmanager
def scratch_beside(folder: Path) -> Iterator[Path]:
    """Create an empty, locked folder on the same file system, and remove it after the context.

    A killed process leaves its folder behind, and the next one removes it. Each folder has a new name, because a child
    of a killed process can still write for a moment. Raises ScratchBusyError.
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
    """Lock the folder until this process ends.

    Raises ScratchBusyError when another process holds the lock or has just removed the folder.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(handle).st_ino == scratch.stat().st_ino:
            return
    except (BlockingIOError, FileNotFoundError):
        pass
    raise ScratchBusyError(f"Another import is running in {scratch}; try again when it is done.")


def _clear(scratch: Path) -> None:
    for leftover in scratch.iterdir():
        shutil.rmtree(leftover)
