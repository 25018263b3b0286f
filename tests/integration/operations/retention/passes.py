"""Ages and passes that tests of retention share."""

from datetime import timedelta

from operations.retention.pruning import Retention

DAY = timedelta(days=1)
AGE = 30 * DAY
OLD = 31 * DAY
YOUNG = 29 * DAY


async def run_pass(loop: Retention) -> int:
    """Run the rounds of a whole pass, and return their number."""
    rounds = 1
    while await loop.run_once():
        rounds += 1
    return rounds
