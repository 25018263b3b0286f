"""The extent of a run."""

import msgspec


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The extent of one run of the benchmarks."""

    rounds: int
    seconds: int
    """Length of each load."""
    backlogs: tuple[int, ...]
    """Numbers of queued jobs. Each backlog is measured separately."""
    succeeded: int
    """Finished jobs in the database, more than a load requests, so that no job is requested twice."""
    submissions: int
    """Jobs for the latency from submit to claim."""
    idle_rounds: int
    """Rounds for the idle share."""
    recorded: bool
    """Whether a report is written."""


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
