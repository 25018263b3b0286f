"""Counts drawn in a line of text."""

from collections.abc import Sequence

_BARS = "▁▂▃▄▅▆▇█"
_NONE = "·"


def sparkline(counts: Sequence[int]) -> str:
    """Return a character for each count: a dot for none, and otherwise a bar, the highest one for the largest count."""
    largest = max(counts, default=0)
    return "".join(_bar(count, largest) for count in counts)


def _bar(count: int, largest: int) -> str:
    if count <= 0:
        return _NONE
    return _BARS[(count * len(_BARS) - 1) // largest]
