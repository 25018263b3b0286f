from bench.load import Figures
from bench.republish import FULL, RESTING, SWEEPING, Flows, Watch, report


def test_each_job_needs_one_message_each_time_it_is_queued() -> None:
    """Claimed messages are not in the broker any more; a job that returned to its queue was published once more."""
    assert Flows(jobs=1000, claims=30, returns=1, waiting=971).redundant == 0
    assert Flows(jobs=1000, claims=30, returns=1, waiting=1171).redundant == 200


def test_the_report_compares_medians() -> None:
    """The report has the rate with the sweep over the rate without it."""

    def rounds(*rates: int) -> list[Figures]:
        return [Figures(rate, 1, 10, 30, 0, 0) for rate in rates]

    watch = Watch(180, 12, (100_000_000, 250_000_000), (0, 0))
    lines = report(FULL, watch, {SWEEPING: rounds(600, 10, 6000), RESTING: rounds(1000, 2000, 9)}, 34)
    assert "| messages published twice while the backlog waited | 12 | 0 |" in lines
    assert "| messages published twice in the whole run | 34 | 0 |" in lines
    assert "| table `jobs` with indexes, before → after waiting | 100 MB → 250 MB | |" in lines
    assert "| POST /v1/jobs, sweep on / off | 0.60 | 0.95 |" in lines
