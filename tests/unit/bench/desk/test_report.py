from bench.desk.__main__ import QUICK, render
from bench.desk.ingesting import Rate
from bench.measures import Latency


def test_each_figure_stands_beside_its_target() -> None:
    """Looks in milliseconds; ingests with the CPU time that a message took on both sides."""
    latencies = {"list": Latency(12.34, 56.78), "search, a number": Latency(20, 30)}
    lines = render(QUICK, latencies, {"rejected": Rate(2_000, 0.5, own_cpu_seconds=0.3, postgres_cpu_seconds=0.1)})
    assert "| list | 12.3 | 56.8 | p50 < 50 ms, p99 < 200 ms |" in lines
    assert "| search, a number | 20.0 | 30.0 | p50 < 100 ms |" in lines
    assert "| rejected | 4,000 | 150 | 50 | 2,000 messages/s |" in lines
