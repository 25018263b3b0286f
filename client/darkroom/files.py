"""Files that commands write."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Yield a file beside `path` that replaces it, in its mode, if all goes well, and is removed if not.

    What is not a regular file, such as a pipe, is written to directly. Raises OSError.
    """
    target = path.resolve()
    if path.exists() and not path.is_file():
        with path.open("wb") as device:
            yield device
        return
    partial = target.with_name(f".{target.name}.{uuid4().hex[:8]}.partial")
    try:
        with partial.open("xb") as file:
            if target.exists():
                partial.chmod(stat.S_IMODE(target.stat().st_mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
