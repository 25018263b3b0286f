"""Lines that tell how far a benchmark is."""

import time
from collections.abc import Callable

Progress = Callable[[str], None]


def stopwatch() -> Progress:
    """Print each line with the time since now."""
    began = time.monotonic()

    def tell(what: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - began), 60)
        print(f"{minutes:2d}:{seconds:02d}  {what}", flush=True)

    return tell


def silent(what: str) -> None:
    """For what takes moments."""
