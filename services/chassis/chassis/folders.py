"""Replacement of folders by two renames: no reader finds one half-written, but between the two there is none."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """Yield a path at which to create a folder that replaces `folder` at the end of the context.

    The path is on the same file system, beside `folder`. It is removed when the context raises.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        fresh = Path(scratch) / "new"
        yield fresh
        exchange(fresh, folder, Path(scratch) / "old")


def exchange(fresh: Path, folder: Path, old: Path) -> None:
    """Move `folder`, if it exists, to `old`, and `fresh` to `folder`. All must be on one file system.

    Moves the old folder back when the new one can't be moved.
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
