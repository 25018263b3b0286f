"""The extent of a run."""

import msgspec


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The extent of one run."""

    settle_rounds: int
    settles: int
    """Settles of a round, with and without a webhook each."""
    backlogs: int
    """Backlogs to send, one after the other."""
    backlog: int
    """Deliveries of a backlog."""
    latency_rounds: int
    jobs_per_second: int
    seconds: int
    """Length of a round of latencies."""
    hung: int
    """Endpoints that accept and never answer."""
    recorded: bool
    """Whether a report is written."""


FULL = Plan(
    settle_rounds=7,
    settles=8_000,
    backlogs=2,
    backlog=20_000,
    latency_rounds=5,
    jobs_per_second=50,
    seconds=30,
    hung=1_000,
    recorded=True,
)
QUICK = Plan(
    settle_rounds=3,
    settles=1_000,
    backlogs=1,
    backlog=3_000,
    latency_rounds=1,
    jobs_per_second=50,
    seconds=5,
    hung=200,
    recorded=False,
)
