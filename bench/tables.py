"""Tables of loads: one stack and the baseline, and two stacks compared."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median

from bench.load import CONNECTIONS, Figures
from bench.scenarios import Rounds

Figure = Callable[[Figures], float]


def typical(rounds: Sequence[Figures], figure: Figure) -> float:
    """Return the median over the rounds."""
    return median(figure(each) for each in rounds)


def load_table(queued: int, rounds: Rounds, baselines: Mapping[str, str]) -> list[str]:
    """Return a table with a row for each scenario. `baselines` maps each scenario to its baseline."""
    return [
        f"| {queued:,} jobs queued, {CONNECTIONS} connections | requests/s | of the echo | p50 ms | p99 ms | p99/p50 |"
        " CPU ms each | accepted and published/s | outbox at the end |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
        *(_load_row(name, own, rounds[baselines[name]]) for name, own in rounds.items()),
    ]


def comparison_table(queued: int, before: Rounds, after: Rounds) -> list[str]:
    """Return a table with a row for each scenario: each figure as A → B, and the ratio of the medians B/A."""
    return [
        f"| {queued:,} jobs queued, {CONNECTIONS} connections | requests/s | ratio | accepted and published/s | ratio |"
        " outbox at the end | p50 ms | p99 ms | p99/p50 | CPU ms each | ratio |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
        *(_comparison_row(name, before[name], after[name]) for name in before),
    ]


def ratio(before: Sequence[Figures], after: Sequence[Figures], figure: Figure) -> float:
    """Return the ratio of the medians, second over first."""
    return typical(after, figure) / typical(before, figure)


def _load_row(name: str, own: Sequence[Figures], baseline: Sequence[Figures]) -> str:
    # The share is computed within each round, so that a disturbance of the machine affects both rates.
    share = median(mine.rate / echo.rate for mine, echo in zip(own, baseline, strict=True))
    cells = [
        f"{typical(own, rate):,.0f}",
        f"{share:.0%}",
        f"{typical(own, p50):.1f}",
        f"{typical(own, p99):.1f}",
        f"{typical(own, tail):.1f}",
        "" if own[0].cpu_seconds is None else f"{typical(own, cpu):.2f}",
        *([f"{typical(own, published):,.0f}", f"{typical(own, left):,.0f}"] if own[0].drain else ["", ""]),
    ]
    return _row(name, cells)


def _comparison_row(name: str, before: Sequence[Figures], after: Sequence[Figures]) -> str:
    def pair(figure: Figure, form: str) -> str:
        return f"{typical(before, figure):{form}} → {typical(after, figure):{form}}"

    def publishing() -> Iterator[str]:
        yield pair(published, ",.0f")
        yield f"{ratio(before, after, published):.2f}"
        yield pair(left, ",.0f")

    return _row(
        name,
        [
            pair(rate, ",.0f"),
            f"{ratio(before, after, rate):.2f}",
            *(publishing() if before[0].drain else ("", "", "")),
            pair(p50, ".1f"),
            pair(p99, ".1f"),
            pair(tail, ".1f"),
            pair(cpu, ".2f"),
            f"{ratio(before, after, cpu):.2f}",
        ],
    )


def _row(name: str, cells: Sequence[str]) -> str:
    return f"| {name} | {' | '.join(cells)} |"


def rate(figures: Figures) -> float:
    """Return requests per second."""
    return figures.rate


def p50(figures: Figures) -> float:
    """Return the median latency in milliseconds."""
    return figures.p50_ms


def p99(figures: Figures) -> float:
    """Return the 99th percentile of the latency in milliseconds."""
    return figures.p99_ms


def tail(figures: Figures) -> float:
    """Return the 99th percentile over the median."""
    return figures.tail


def cpu(figures: Figures) -> float:
    """Return the CPU milliseconds of a request."""
    return figures.cpu_ms


def published(figures: Figures) -> float:
    """Return jobs accepted and published per second."""
    return figures.published


def left(figures: Figures) -> float:
    """Return the number of rows in the outbox when the load ended."""
    assert figures.drain is not None
    return figures.drain.depth
