"""Folders that are replaced whole, so that no reader finds one half-written."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """Yield a path to make a folder at, which takes the place of `folder` when the context is left without an error.

    The path lies on the same file system, beside `folder`, and is removed when the context fails.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        fresh = Path(scratch) / "new"
        yield fresh
        exchange(fresh, folder, Path(scratch) / "old")


def exchange(fresh: Path, folder: Path, old: Path) -> None:
    """Move `fresh` to `folder`, and what was there to `old`, which must not exist. All three share a file system.

    The old folder is moved back when the new one can't take its place.
    """
    if not folder.exists():
        fresh.rename(folder)
        return
    folder.rename(old)
    try:
        fresh.rename(folder)
    except OSError:
        old.rename(folder)
        raise
