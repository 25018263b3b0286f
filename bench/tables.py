"""Tables of loads: of one stack beside the yardstick, and of two stacks beside each other."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median

from bench.load import CONNECTIONS, Figures
from bench.scenarios import Rounds

Figure = Callable[[Figures], float]


def typical(rounds: Sequence[Figures], figure: Figure) -> float:
    """The median over the rounds."""
    return median(figure(each) for each in rounds)


def load_table(queued: int, rounds: Rounds, yardsticks: Mapping[str, str]) -> list[str]:
    """A row a scenario. `yardsticks` names for each scenario the one whose rate it is compared with."""
    return [
        f"| {queued:,} jobs queued, {CONNECTIONS} connections | requests/s | of the echo | p50 ms | p99 ms | p99/p50 |"
        " CPU ms each | accepted and published/s | outbox at the end |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
        *(_load_row(name, own, rounds[yardsticks[name]]) for name, own in rounds.items()),
    ]


def comparison_table(queued: int, before: Rounds, after: Rounds) -> list[str]:
    """A row a scenario, each figure as A -> B, and the ratio of the medians B/A."""
    return [
        f"| {queued:,} jobs queued, {CONNECTIONS} connections | requests/s | ratio | accepted and published/s | ratio |"
        " outbox at the end | p50 ms | p99 ms | p99/p50 | CPU ms each | ratio |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
        *(_comparison_row(name, before[name], after[name]) for name in before),
    ]


def ratio(before: Sequence[Figures], after: Sequence[Figures], figure: Figure) -> float:
    """Of the medians."""
    return typical(after, figure) / typical(before, figure)


def _load_row(name: str, own: Sequence[Figures], yardstick: Sequence[Figures]) -> str:
    # The share is taken within each round, so that a noisy minute strikes both alike.
    share = median(mine.rate / echo.rate for mine, echo in zip(own, yardstick, strict=True))
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
    return figures.rate


def p50(figures: Figures) -> float:
    return figures.p50_ms


def p99(figures: Figures) -> float:
    return figures.p99_ms


def tail(figures: Figures) -> float:
    return figures.tail


def cpu(figures: Figures) -> float:
    return figures.cpu_ms


def published(figures: Figures) -> float:
    return figures.published


def left(figures: Figures) -> float:
    """Rows in the outbox when the load ended."""
    assert figures.drain is not None
    return figures.drain.depth
