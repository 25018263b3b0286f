"""The report: a table with each figure beside its target."""

from collections.abc import Callable, Sequence
from statistics import median
from typing import TypeVar

import msgspec

from bench.webhooks.latency import Latencies
from bench.webhooks.plan import Plan
from bench.webhooks.sending import ORIGINS, TENANTS, Sending
from bench.webhooks.settles import Settles

Figures = TypeVar("Figures")
MEGABYTES = 80


class Results(msgspec.Struct, frozen=True):
    """Figures of one run. Rounds alone and beside endpoints that hang follow each other directly."""

    settles: Sequence[Settles]
    sendings: Sequence[Sending]
    to_one: Sequence[Sending]
    """Of one tenant to one origin, where its bound on requests at a time limits the rate."""
    alone: Sequence[Latencies]
    beside: Sequence[Latencies]

    @property
    def megabytes(self) -> float:
        """The largest resident memory of a dispatcher in the whole run."""
        sending = max(each.megabytes for each in (*self.sendings, *self.to_one))
        return max(sending, *(each.megabytes for each in (*self.alone, *self.beside)))


def render(results: Results, plan: Plan) -> list[str]:
    """Return the lines of the report."""
    sending = results.sendings
    return [
        "One dispatcher, PostgreSQL and the receivers on the same cores. The receivers answer 204 at once. Medians of"
        f" {plan.settle_rounds} rounds of {plan.settles:,} settles, {plan.backlogs} backlogs, and"
        f" {plan.latency_rounds} rounds of latencies; what is compared takes turns.",
        "",
        "| | measured | target |",
        "|---|---:|---|",
        f"| deliveries/s, a backlog of {plan.backlog:,} of {TENANTS} tenants to {ORIGINS} origins |"
        f" {_rate(sending)} | 1,000 |",
        f"| CPU ms for each: dispatcher, PostgreSQL, receivers | {_cpu(sending)} | |",
        f"| deliveries/s of one tenant to one origin | {_rate(results.to_one)} | 1,000 |",
        f"| end of a job to receipt at {plan.jobs_per_second} jobs/s, p50 | {_milliseconds(results.alone, _p50)} | |",
        f"| the same, p99 | {_milliseconds(results.alone, _p99)} | under 1,000 ms |",
        f"| beside {plan.hung:,} endpoints that hang ({_hanging(results)} requests at a time), p50 |"
        f" {_milliseconds(results.beside, _p50)} | |",
        f"| the same, p99 | {_milliseconds(results.beside, _p99)} | |",
        f"| ratio of p50, beside them / alone | {_ratio(results, _p50):.2f} | 1.2 |",
        f"| ratio of p99 | {_ratio(results, _p99):.2f} | 1.2 |",
        *(line for settles in results.settles for line in _settling(settles)),
        f"| resident MB of the dispatcher, the most in the whole run | {results.megabytes:.0f} | {MEGABYTES} |",
    ]


def _settling(settles: Settles) -> list[str]:
    who = "one worker" if settles.workers == 1 else f"{settles.workers} workers at once"
    return [
        f"| settles/s of {who}, without a webhook | {settles.without:,.0f} | |",
        f"| the same with a webhook | {settles.with_webhook:,.0f} | |",
        f"| ratio, median of the rounds | {settles.ratio:.2f} | 0.9 |",
    ]


def _p50(latencies: Latencies) -> float:
    return latencies.p50


def _p99(latencies: Latencies) -> float:
    return latencies.p99


def _milliseconds(rounds: Sequence[Latencies], figure: Callable[[Latencies], float]) -> str:
    return f"{_median(rounds, figure):.1f} ms"


def _ratio(results: Results, figure: Callable[[Latencies], float]) -> float:
    """Return the median of the ratios of each round."""
    pairs = zip(results.alone, results.beside, strict=True)
    return median(figure(beside) / figure(alone) for alone, beside in pairs)


def _hanging(results: Results) -> int:
    return max(each.hanging for each in results.beside)


def _rate(sendings: Sequence[Sending]) -> str:
    return f"{_median(sendings, lambda each: each.rate):,.0f}"


def _cpu(sendings: Sequence[Sending]) -> str:
    figures: list[Callable[[Sending], float]] = [
        lambda each: each.dispatcher_ms,
        lambda each: each.postgres_ms,
        lambda each: each.receiver_ms,
    ]
    return ", ".join(f"{_median(sendings, figure):.2f}" for figure in figures)


def _median(rounds: Sequence[Figures], figure: Callable[[Figures], float]) -> float:
    return median(map(figure, rounds))
