"""How long to measure, and what."""

import msgspec


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of one run of the benchmarks."""

    rounds: int
    seconds: int
    """Of each load."""
    backlogs: tuple[int, ...]
    """Queued jobs; each is measured by itself."""
    succeeded: int
    """Finished jobs in the database. More than a load asks for, so that no answer is asked for twice in one."""
    submissions: int
    """Jobs whose way from submit to claim is measured."""
    idle_rounds: int
    """Of the idle share."""
    recorded: bool
    """Whether the results are kept."""


FULL = Plan(
    rounds=5,
    seconds=5,
    backlogs=(1_000, 1_000_000),
    succeeded=50_000,
    submissions=50,
    idle_rounds=3,
    recorded=True,
)
QUICK = Plan(
    rounds=1,
    seconds=2,
    backlogs=(1_000, 50_000),
    succeeded=10_000,
    submissions=10,
    idle_rounds=1,
    recorded=False,
)
