from pathlib import Path
from typing import Any

from bench.load import Drain, Figures
from bench.scenarios import SCENARIOS, Side, describe, in_turn

NOWHERE: Any = None


def side(name: str) -> Side:
    return Side(name, NOWHERE, NOWHERE, Path())


def test_two_sides_take_turns() -> None:
    """The order is A B for each scenario in one round and B A in the next."""
    sides = [side("A"), side("B")]
    first, second = ([where.name for _, where in in_turn(SCENARIOS, sides, number)] for number in (0, 1))
    assert first == ["A", "B"] * len(SCENARIOS)
    assert second == ["B", "A"] * len(SCENARIOS)


def test_what_submits_comes_last() -> None:
    """Submissions come last, since they lengthen the backlog of the look-ups."""
    submits = [scenario.submits for scenario in SCENARIOS]
    assert submits == sorted(submits)


def test_the_sides_ask_for_jobs_of_their_own() -> None:
    """Each side has files of its own: another stack's ids would be answered 404."""
    assert side("A").paths("queued") != side("B").paths("queued")


def test_progress_has_the_rate_of_published_jobs() -> None:
    """The line has the rate and the latencies, and for submissions the rows left in the outbox."""
    post = Figures(3000, 1, 10, 30, 0, 0, Drain(200, 0.5), cpu_seconds=2.4)
    assert describe(post) == (
        "3,000/s, p50 10.0 ms, p99 30.0 ms, 0.80 ms of CPU each; 2,000/s published, 200 left in the outbox"
    )
