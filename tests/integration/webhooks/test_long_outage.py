"""No process of the service ran for a week: what docs/operating-webhooks.md says of it."""

from datetime import timedelta

import pytest

from operations.retention.pruning import PruneDeliveries, Retention
from operations.retention.purge import PurgeJobs
from tests.integration.webhooks.dispatchers import KEYS, Dispatch
from tests.integration.webhooks.jobs import Shop
from tests.support.receiver import Receiver, always
from webhooks.dispatch.giving_up import GivingUp

WEEK = timedelta(days=7)
AT_ONCE = timedelta(0)
AGE_DELIVERIES = """
    UPDATE webhook_deliveries SET created_at = created_at - $1::interval, scheduled_at = scheduled_at - $1,
        next_attempt_at = next_attempt_at - $1
"""
BACKLOG = 30


@pytest.fixture
async def backlog(dispatch: Dispatch, shop: Shop, receiver: Receiver) -> Dispatch:
    """Return a dispatcher that starts a week after it was stopped, and after jobs that ended meanwhile."""
    await dispatch.round()  # the first start of all, before which what is old is retired
    await shop.end(receiver.url, BACKLOG)
    await shop.execute(AGE_DELIVERIES, WEEK)
    return dispatch


async def test_the_whole_backlog_is_sent(backlog: Dispatch, shop: Shop, receiver: Receiver) -> None:
    """Nothing is too old, and the events say when they happened."""
    await backlog.round()
    assert await shop.count("succeeded") == len(receiver.requests) == BACKLOG
    assert len(set(receiver.delivery_ids)) == BACKLOG
    created = {row["id"]: row["created_at"] for row in await shop.deliveries()}
    for request in receiver.requests:
        assert request.event["timestamp"][:19] == created[request.delivery_id].isoformat()[:19]


async def test_retention_removes_no_job_that_waits(backlog: Dispatch, shop: Shop, receiver: Receiver) -> None:
    """However short its ages are."""
    for loop in (PurgeJobs, PruneDeliveries):
        await _run_pass(loop(backlog.database, AT_ONCE))
    assert await shop.value("SELECT count(*) FROM jobs") == BACKLOG
    await backlog.round()
    assert len(receiver.requests) == BACKLOG
    for loop in (PurgeJobs, PruneDeliveries):
        await _run_pass(loop(backlog.database, AT_ONCE))
    assert await shop.value("SELECT count(*) FROM jobs") == 0


async def test_a_receiver_that_is_away_at_the_start_loses_nothing(
    backlog: Dispatch, shop: Shop, receiver: Receiver
) -> None:
    """Its backlog waits and is not given up; each delivery that was tried has its whole schedule before it."""
    receiver.behave = always(500)
    for _ in range(8):
        await shop.execute("UPDATE webhook_deliveries SET next_attempt_at = now() WHERE lease_token IS NULL")
        await backlog.round()
    await GivingUp(backlog.database, backlog.flights, KEYS.ids).run_once()
    assert await shop.count("pending") == BACKLOG
    assert 0 < len(receiver.requests) < BACKLOG
    assert await shop.value("SELECT count(*) FROM dead_letters") == 0


async def test_an_endpoint_that_failed_before_it_is_not_disabled_by_it(
    dispatch: Dispatch, shop: Shop, receiver: Receiver
) -> None:
    """Nothing could succeed while nothing was sent."""
    receiver.behave = always(404)
    endpoint = await shop.standing(receiver.url)
    await shop.end(None)
    await dispatch.round()
    await shop.execute("UPDATE webhook_endpoints SET failing_since = failing_since - $1::interval", WEEK)
    await shop.make_due()
    await dispatch.round()
    assert len(receiver.requests) == 2
    assert await shop.value("SELECT status FROM webhook_endpoints WHERE id = $1", endpoint) == "enabled"


async def _run_pass(loop: Retention) -> None:
    while await loop.run_once():
        pass
