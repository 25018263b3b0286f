"""The rate of settles with and without a webhook, by pgbench on the worker's own statement."""

from pathlib import Path
from statistics import median

import msgspec

from bench import pgbench
from bench.progress import Progress
from bench.webhooks.endings import RESULT, Endings
from bench.webhooks.plan import Plan

WORKERS = (1, 8)
"""How many settle at once, each on a connection of its own, one job a transaction: one waits for the disk and for its
replies most of the time, eight use both cores whole."""
TENANTS = 4
URL = "http://127.0.0.1:9/hook/"
_SCRIPT = Path(__file__).with_name("settles.pgbench")


class Round(msgspec.Struct, frozen=True):
    """Settles per second, measured directly after each other."""

    without: float
    with_webhook: float

    @property
    def ratio(self) -> float:
        return self.with_webhook / self.without


class Settles(msgspec.Struct, frozen=True):
    """The rounds of a number of workers."""

    workers: int
    rounds: list[Round]

    @property
    def without(self) -> float:
        """Median rate of jobs without a webhook."""
        return median(each.without for each in self.rounds)

    @property
    def with_webhook(self) -> float:
        """Median rate of jobs with a webhook."""
        return median(each.with_webhook for each in self.rounds)

    @property
    def ratio(self) -> float:
        """Median of the ratios of each round, so that a disturbance of the machine affects both rates."""
        return median(each.ratio for each in self.rounds)


async def measure_settles(
    endings: Endings, database_url: str, plan: Plan, progress: Progress, *, workers: int
) -> Settles:
    """Settle as many jobs with a webhook as without, in turn. No dispatcher may run."""
    planned = []
    for number in range(plan.settle_rounds):
        sides = (True, False) if number % 2 else (False, True)
        planned.append({with_webhook: await _add(endings, plan.settles, with_webhook) for with_webhook in sides})
    await endings.write_out()
    rounds = []
    for number, sides_of_round in enumerate(planned, 1):
        rates = {}
        for with_webhook, numbers in sides_of_round.items():
            await endings.checkpoint()
            rates[with_webhook] = _settle(database_url, numbers, workers)
        rounds.append(Round(rates[False], rates[True]))
        progress(f"settles of {workers} at once, round {number} of {plan.settle_rounds}: {rates[False]:,.0f}/s without"
                 f" a webhook, {rates[True]:,.0f}/s with one")  # fmt: skip
    return Settles(workers, rounds)


async def _add(endings: Endings, count: int, with_webhook: bool) -> range:
    return await endings.add(count, [URL if with_webhook else None], padding=len(URL))


def _settle(database_url: str, numbers: range, workers: int) -> float:
    """Settle jobs and return the rate."""
    each = len(numbers) // workers
    values = {"first": numbers.start, "each": each, "done": 0, **RESULT}
    return pgbench.run(_SCRIPT, database_url, clients=workers, each=each, values=values).per_second
