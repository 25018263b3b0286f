from datetime import UTC, datetime, timedelta

import pytest

from bench.backlog import Pace, Taken, middle
from bench.measures import Latency

START = datetime(2026, 11, 21, tzinfo=UTC)


def taken(*claims_ms: float, inference_ms: float) -> list[Taken]:
    return [Taken(START + timedelta(milliseconds=claim), inference_ms) for claim in claims_ms]


def test_what_is_not_rendered_is_idle() -> None:
    """Claims every 110 ms and renders of 100 ms make 10 ms of overhead each, an eleventh of the time, in any order."""
    pace = Pace.of(taken(220, 0, 330, 110, inference_ms=100))
    assert (pace.jobs, pace.inference_ms) == (4, 100)
    assert pace.overhead.median == pytest.approx(10)
    assert pace.idle_share == pytest.approx(1 / 11)


def test_the_first_claim_does_not_count() -> None:
    """An idle worker claims it, later jobs are claimed 30 ms before the previous render ends: no share is negative."""
    ahead = [0.0, *(70.0 + 110 * number for number in range(5))]
    assert Pace.of(taken(*ahead, inference_ms=100)).idle_share == pytest.approx(1 / 11)


def test_the_last_render_does_not_count() -> None:
    """Nothing is measured after the last claim, so that the length of its render changes no share."""
    line = taken(0, 110, 220, 330, inference_ms=100)
    longer = [*line[:-1], Taken(line[-1].started_at, 100_000)]
    assert Pace.of(longer).idle_share == Pace.of(line).idle_share


def test_one_long_gap_is_in_the_share_but_not_in_the_median() -> None:
    """One pause of a second among twenty short ones is idle time, but does not change the median overhead."""
    claims = [110.0 * number for number in range(20)]
    pace = Pace.of(taken(*claims, claims[-1] + 1100, inference_ms=100))
    assert pace.overhead.median == pytest.approx(10)
    assert pace.idle_share == pytest.approx((18 * 10 + 1000) / (18 * 110 + 1100))


def test_the_figures_are_medians_of_the_rounds() -> None:
    """Each figure is the median of the rounds."""
    rounds = [Pace(200, 100, Latency(each, 2 * each), each / 100) for each in (9, 1, 5)]
    assert middle(rounds) == Pace(200, 100, Latency(5, 10), 0.05)
