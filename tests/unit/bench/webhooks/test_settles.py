import pytest

from bench.webhooks.settles import Round, Settles


def test_a_disturbed_round_does_not_decide() -> None:
    """The ratio is the median of the rounds' ratios, not the ratio of the medians."""
    settles = Settles(8, [Round(1000, 950), Round(3000, 900), Round(2000, 1900)])
    assert settles.ratio == pytest.approx(0.95)
    assert (settles.without, settles.with_webhook) == (2000, 950)
