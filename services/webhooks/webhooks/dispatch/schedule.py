"""The schedule of a delivery's attempts."""

import random
from datetime import timedelta

PAUSES = (5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
"""Seconds after the first, second, ... failed attempt; 75.6 hours together, which outlasts a weekend."""
JITTER = 0.2
LENGTH = timedelta(seconds=sum(PAUSES) * (1 + JITTER))
"""The longest time from a delivery's first attempt to its last."""


def pause_after(failures: int) -> float | None:
    """Return the seconds from the given failed attempt, counted from 1, to the next one; None after the last."""
    if failures > len(PAUSES):
        return None
    return PAUSES[failures - 1] * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - jitter, not a secret
