import pytest

from bench.webhooks.settles import Round, Settles, read_rate

OUTPUT = """\
transaction type: settles.pgbench
number of transactions actually processed: 6000/6000
initial connection time = 41.225 ms
tps = 2790.123456 (without initial connection time)
"""


def test_the_rate_is_what_pgbench_counted() -> None:
    """It has no share of the time in which the clients connected."""
    assert read_rate(OUTPUT) == 2790.123456


def test_a_disturbed_round_does_not_decide() -> None:
    """The ratio is the median of the rounds' ratios, not the ratio of the medians."""
    settles = Settles([Round(1000, 950), Round(3000, 900), Round(2000, 1900)])
    assert settles.ratio == pytest.approx(0.95)
    assert (settles.without, settles.with_webhook) == (2000, 950)
