from bench.desk.settling import QUICK, Settles, render
from bench.measures import Latency


def settles(per_second: float, p99: float = 10.0, cpu_microseconds: float = 500.0) -> Settles:
    return Settles(per_second, Latency(p99 / 2, p99), cpu_microseconds)


WITHOUT = [settles(rate, cpu_microseconds=400) for rate in (1000, 3000, 2000)]
COUNTED = [settles(950), settles(900), settles(1900)]
BESIDE = [settles(100, p99) for p99 in (40.0, 90.0, 20.0)]


def test_a_disturbed_round_does_not_decide() -> None:
    """Ratios are of rounds, and the figures are their medians, with the range of the latencies beside a reap."""
    lines = render(QUICK, WITHOUT, COUNTED, BESIDE)
    assert "| ratio of a round | 0.950 | at least 0.9 |" in lines
    assert "| CPU time of PostgreSQL, ratio of a round | 0.800 | |" in lines
    assert "| settles/s, letters not counted | 2,000 | |" in lines
    assert "| p99 of a settle beside a reap and the folder | 40.0 ms (20.0 to 90.0) | under 50 ms |" in lines
