from bench.webhooks.latency import Latencies
from bench.webhooks.plan import FULL
from bench.webhooks.report import Results, render
from bench.webhooks.sending import Sending
from bench.webhooks.settles import Round, Settles


def latencies(p50: float, p99: float, hanging: int = 0) -> Latencies:
    return Latencies(p50, p99, longest=2 * p99, jobs=3_000, hanging=hanging, megabytes=61.0)


def sending(seconds: float, megabytes: float) -> Sending:
    return Sending(
        deliveries=20_000, seconds=seconds, dispatcher_ms=0.5, postgres_ms=0.4, receiver_ms=0.1, megabytes=megabytes
    )


RESULTS = Results(
    settles=[
        Settles(1, [Round(3000, 2700), Round(2000, 1900), Round(4000, 3800)]),
        Settles(8, [Round(8000, 6800)]),
    ],
    sendings=[sending(20, 66), sending(10, 71.4), sending(15, 60)],
    to_one=[sending(16, 62)],
    alone=[latencies(10, 20), latencies(20, 30)],
    beside=[latencies(11, 25, 128), latencies(22, 36, 100)],
)


def test_each_figure_stands_beside_its_target() -> None:
    """Medians; ratios within a round; the most memory of the whole run."""
    lines = render(RESULTS, FULL)
    assert "| deliveries/s, a backlog of 20,000 of 8 tenants to 32 origins | 1,333 | 1,000 |" in lines
    assert "| deliveries/s of one tenant to one origin | 1,250 | 1,000 |" in lines
    assert "| the same, p99 | 25.0 ms | under 1,000 ms |" in lines
    assert "| ratio of p50, beside them / alone | 1.10 | 1.2 |" in lines
    assert lines[-7:-1] == [
        "| settles/s of one worker, without a webhook | 3,000 | |",
        "| the same with a webhook | 2,700 | |",
        "| ratio, median of the rounds | 0.95 | 0.9 |",
        "| settles/s of 8 workers at once, without a webhook | 8,000 | |",
        "| the same with a webhook | 6,800 | |",
        "| ratio, median of the rounds | 0.85 | 0.9 |",
    ]
    assert "| resident MB of the dispatcher, the most in the whole run | 71 | 80 |" in lines
    assert any("beside 1,000 endpoints that hang (128 requests at a time)" in line for line in lines)


def test_percentiles_are_of_all_samples() -> None:
    """The 99th percentile is near the end of a hundred samples."""
    found = Latencies.of([float(n) for n in range(1, 101)], hanging=0, megabytes=60)
    assert (found.p50, found.longest, found.jobs) == (50.5, 100, 100)
    assert 98 < found.p99 <= 100
