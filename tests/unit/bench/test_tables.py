from datetime import UTC, datetime

from bench.backlog import Pace
from bench.load import Drain, Figures
from bench.measures import Latency
from bench.report import Comparison, Results, render, render_comparison
from bench.tables import comparison_table, load_table

ECHO, GET, POST = "bare echo", "GET", "POST"
NOW = datetime(2026, 11, 21, tzinfo=UTC)


def load(rate: int, p50_ms: float = 10, p99_ms: float = 30, depth: int | None = None) -> Figures:
    """Return a load of one second, after which the outbox took another second to empty."""
    drain = None if depth is None else Drain(depth, 1)
    return Figures(rate, 1, p50_ms, p99_ms, 0, 0, drain, cpu_seconds=rate / 1000)


def cells(table: list[str], name: str) -> list[str]:
    row = next(line for line in table if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in row.split("|")[2:-1]]


def test_shares_are_taken_within_a_round() -> None:
    """The share is computed within each round: half of the echo in each round is half of the echo."""
    rounds = {ECHO: [load(1000), load(100), load(4000)], GET: [load(500), load(50), load(2000)]}
    assert cells(load_table(1000, rounds, {ECHO: ECHO, GET: ECHO}), GET)[:2] == ["500", "50%"]


def test_submissions_have_the_rate_of_published_jobs() -> None:
    """The columns of submissions are empty for look-ups."""
    rounds = {ECHO: [load(4000)], GET: [load(1000)], POST: [load(1000, depth=300)]}
    table = load_table(1_000_000, rounds, dict.fromkeys(rounds, ECHO))
    assert cells(table, POST)[2:] == ["10.0", "30.0", "3.0", "1.00", "500", "300"]
    assert cells(table, GET)[-2:] == ["", ""]
    assert table[0].startswith("| 1,000,000 jobs queued")


def test_a_ratio_is_that_of_the_medians() -> None:
    """Of three rounds, the tables show the median."""
    before = {POST: [load(1000, depth=10), load(900, depth=20), load(5, depth=9000)]}
    after = {POST: [load(1800, depth=0), load(1, depth=0), load(2700, depth=0)]}
    row = cells(comparison_table(1000, before, after), POST)
    assert row[:5] == ["900 → 1,800", "2.00", "450 → 900", "2.00", "20 → 0"]
    assert row[-2:] == ["1.00 → 1.00", "1.00"]


def test_both_reports_hold_every_table() -> None:
    """A report has tables of each backlog, of latency and memory; a program that one side lacks is listed as `none`."""
    rounds = {ECHO: [load(4000)], GET: [load(1000)], POST: [load(1000, depth=300)]}
    latency, pace = Latency(7, 10), Pace(200, 86, Latency(4.5, 8.5), 0.05)
    loads = {1000: rounds, 1_000_000: rounds}
    own = render(Results(loads, dict.fromkeys(rounds, ECHO), latency, {"overlap": [pace]}, {"gateway": 49}), NOW)
    assert own.count("| POST | 1,000 |") == 2
    assert "| gateway | 49 | 70 MB |" in own
    both = dict.fromkeys(loads, (rounds, rounds))
    compared = render_comparison(
        Comparison(("a1", "b2"), both, (latency, latency), ({"gateway": 49}, {"relay": 9})), NOW
    )
    assert compared.count("| POST | 1,000 → 1,000 | 1.00 |") == 2
    assert "| gateway | 49 → none |" in compared
    assert "| relay | none → 9 |" in compared
