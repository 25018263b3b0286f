"""The stages of a ramp."""

from collections.abc import Sequence


def allowed(stages: Sequence[int], stage: int) -> int:
    """Return how many items are replayed by the end of a stage, counted from 0. The last size is repeated."""
    repeated = max(stage + 1 - len(stages), 0)
    return sum(stages[: stage + 1]) + repeated * stages[-1]
