"""Pages of the log, and one delivery."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from chassis.auth import Caller
from chassis.postgres import Database
from chassis.problems import ProblemError
from darkroom_contracts.api import Scope, encode
from darkroom_contracts.api.webhook_deliveries import WebhookDeliveryQuery
from darkroom_contracts.states import DeliveryStatus, EndpointAudience
from tests.integration.webhooks.history.log import Log
from webhooks.history import deliveries
from webhooks.history.deliveries import Deliveries
from webhooks.history.problems import NoSuchDeliveryError


@pytest.fixture
def history(pool: Database) -> Deliveries:
    return Deliveries(pool)


async def pages(history: Deliveries, caller: Caller, **query: Any) -> list[list[UUID]]:
    """Return the ids of all pages."""
    found, cursor = [], None
    while True:
        page = await history.page(caller, WebhookDeliveryQuery(**query, cursor=cursor))
        found.append([delivery.id for delivery in page.deliveries])
        cursor = page.next_cursor
        if cursor is None:
            return found


async def listed(history: Deliveries, caller: Caller, **query: Any) -> list[UUID]:
    """Return the ids of all pages together, the newest first."""
    return [delivery_id for page in await pages(history, caller, **query) for delivery_id in page]


async def test_pages_have_each_delivery_once(history: Deliveries, log: Log) -> None:
    """The newest first, merged from all endpoints; a full last page has no cursor."""
    first, second = await log.implicit(), await log.endpoint()
    made = [
        *await log.deliver(first, 3, ago=timedelta(hours=3)),
        *await log.deliver(second, 4, ago=timedelta(hours=2)),
        *await log.deliver(first, 2, ago=timedelta(hours=1)),
    ]
    assert [len(page) for page in await pages(history, log.caller(), limit=3)] == [3, 3, 3]
    assert [len(page) for page in await pages(history, log.caller(), limit=4)] == [4, 4, 1]
    assert await listed(history, log.caller(), limit=2) == made[::-1]


async def test_a_delivery_that_comes_later_moves_no_page(history: Deliveries, log: Log) -> None:
    """A cursor is a place in time, so the pages that follow stay as they were."""
    endpoint = await log.endpoint()
    made = await log.deliver(endpoint, 4)
    page = await history.page(log.caller(), WebhookDeliveryQuery(limit=2))
    await log.deliver(endpoint, 3, ago=timedelta(minutes=1))
    following = await history.page(log.caller(), WebhookDeliveryQuery(limit=2, cursor=page.next_cursor))
    assert [delivery.id for delivery in following.deliveries] == made[1::-1]
    assert following.next_cursor is None


async def test_filters_by_endpoint(history: Deliveries, log: Log) -> None:
    """By id, by `implicit`, and of a deleted endpoint too; an unknown one has no deliveries."""
    implicit, standing = await log.implicit(), await log.endpoint()
    of_implicit, of_standing = await log.deliver(implicit, 2), await log.deliver(standing, 2)
    await log.execute("UPDATE webhook_endpoints SET deleted_at = now() WHERE id = $1", standing)
    assert await listed(history, log.caller(), endpoint="implicit") == of_implicit[::-1]
    assert await listed(history, log.caller(), endpoint=str(implicit).upper()) == of_implicit[::-1]
    assert await listed(history, log.caller(), endpoint=str(standing)) == of_standing[::-1]
    assert await listed(history, log.caller(), endpoint=str(uuid4())) == []
    assert len(await listed(history, log.caller())) == 4


async def test_filters_by_job(history: Deliveries, log: Log) -> None:
    """All endpoints' deliveries of all versions of a job, whether the job still exists or not."""
    job, endpoints = uuid4(), (await log.implicit(), await log.endpoint())
    made = [delivery for endpoint in endpoints for delivery in await log.deliver(endpoint, 2, job=job)]
    await log.deliver(endpoints[0], 2, job=uuid4())
    assert await listed(history, log.caller(), job=job, limit=3) == sorted(made, reverse=True)
    assert await listed(history, log.caller(), job=job, endpoint="implicit") == made[1::-1]
    assert await listed(history, log.caller(), job=job, status=DeliveryStatus.FAILED) == []
    assert await listed(history, log.caller(), job=uuid4()) == []


@pytest.mark.parametrize("status", list(DeliveryStatus))
async def test_filters_by_status(history: Deliveries, log: Log, status: DeliveryStatus) -> None:
    """Whether an index has the status or not."""
    endpoint = await log.endpoint()
    made = {each: await log.deliver(endpoint, 3, each) for each in DeliveryStatus}
    assert await listed(history, log.caller(), status=status, limit=2) == made[status][::-1]


async def test_filters_by_event(history: Deliveries, log: Log) -> None:
    """With and without a status."""
    endpoint = await log.endpoint()
    await log.deliver(endpoint, 3, "failed")
    started = await log.deliver(endpoint, 2, "failed", event="job.started")
    await log.deliver(endpoint, 2, "succeeded", event="job.started")
    assert len(await listed(history, log.caller(), event="job.started")) == 4
    assert (
        await listed(history, log.caller(), event="job.started", status=DeliveryStatus.FAILED, limit=1) == started[::-1]
    )


async def test_a_page_ends_when_it_has_looked_far_enough(
    history: Deliveries, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short or empty page has a cursor, and its successors find what is far away."""
    monkeypatch.setattr(deliveries, "LOOKED_AT", 4)
    endpoint = await log.endpoint()
    rare = [
        *await log.deliver(endpoint, 1, event="job.started", ago=timedelta(hours=3)),
        *await log.deliver(endpoint, 1, event="job.started", ago=timedelta(hours=1)),
    ]
    await log.deliver(endpoint, 9, ago=timedelta(hours=2))
    found = await pages(history, log.caller(), event="job.started", limit=2)
    assert found == [[rare[1]], [], [rare[0]]]


async def test_tenants_see_their_own(history: Deliveries, log: Log) -> None:
    """Whatever the filter: a stranger's job and endpoint look like unknown ones."""
    job, endpoint = uuid4(), await log.endpoint()
    [delivery] = await log.deliver(endpoint, job=job)
    stranger = (await log.another()).caller()
    for query in ({}, {"endpoint": str(endpoint)}, {"job": job}, {"status": DeliveryStatus.SUCCEEDED}):
        assert await listed(history, stranger, **query) == []
    for scope in Scope:
        with pytest.raises(NoSuchDeliveryError):
            await history.find(Caller(stranger.tenant_id, "key", scope), delivery)


async def test_operators_see_operators_deliveries_by_audience(history: Deliveries, log: Log) -> None:
    """An operator's list is its tenant's unless it asks for the operators'; a client can't ask for them."""
    operators = log.operators()
    of_operators = await operators.deliver(await operators.endpoint(), 2, event="webhook_endpoint.failing")
    own = await log.deliver(await log.endpoint())
    operator = log.caller(Scope.OPERATOR)
    assert await listed(history, operator) == own
    assert await listed(history, operator, audience=EndpointAudience.OPERATOR) == of_operators[::-1]
    assert (await history.find(operator, of_operators[0])).event == "webhook_endpoint.failing"
    with pytest.raises(NoSuchDeliveryError):
        await history.find(log.caller(), of_operators[0])
    with pytest.raises(ProblemError) as refused:
        await history.page(log.caller(), WebhookDeliveryQuery(audience=EndpointAudience.OPERATOR))
    assert refused.value.problem.status == 403


async def test_a_malformed_cursor_is_refused(history: Deliveries, log: Log) -> None:
    """The problem names the parameter."""
    with pytest.raises(ProblemError) as refused:
        await history.page(log.caller(), WebhookDeliveryQuery(cursor="1"))
    assert (refused.value.problem.status, refused.value.problem.field) == (422, "cursor")


async def test_one_delivery_has_its_attempts_and_its_body(history: Deliveries, log: Log) -> None:
    """The attempts in their order, and never what the receiver answered."""
    [delivery] = await log.deliver(await log.endpoint(), 1, "failed", job=uuid4())
    await log.execute(
        "INSERT INTO webhook_attempts (delivery_id, number, lease_token, dns_ms)"
        " VALUES ($1, 2, gen_random_uuid(), 0.1)",
        delivery,
    )
    await log.execute("UPDATE webhook_deliveries SET attempt = 2 WHERE id = $1", delivery)
    shown = await history.find(log.caller(), delivery)
    assert (shown.id, shown.status, shown.attempts_made, shown.failures) == (delivery, DeliveryStatus.FAILED, 2, 1)
    assert [(each.number, each.status, each.total_ms, each.dns_ms, each.error) for each in shown.attempts] == [
        (1, 500, 12.5, None, "The receiver answered 500."),
        (2, None, None, 0.1, None),
    ]
    assert shown.last_attempt == shown.attempts[-1]
    assert shown.body == '{"type":"job.failed"}'
    assert b"internals" not in encode(shown)


async def test_only_the_latest_of_many_attempts_are_shown(
    history: Deliveries, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their numbers say that earlier ones are left out."""
    monkeypatch.setattr(deliveries, "MAX_ATTEMPTS_SHOWN", 2)
    [delivery] = await log.deliver(await log.endpoint())
    await log.execute(
        "INSERT INTO webhook_attempts (delivery_id, number, lease_token)"
        " SELECT $1, n, gen_random_uuid() FROM generate_series(2, 5) AS n",
        delivery,
    )
    assert [attempt.number for attempt in (await history.find(log.caller(), delivery)).attempts] == [4, 5]


async def test_a_delivery_without_an_attempt_has_no_body(history: Deliveries, log: Log) -> None:
    """It is encoded at the first claim, so nothing is shown that might not be sent."""
    await log.execute(
        "INSERT INTO webhook_deliveries (endpoint_id, tenant_id, event, url, origin, snapshot)"
        " VALUES ($1, $2, 'webhook_endpoint.test', 'https://example.com', 'https://example.com:443', '{}')",
        await log.endpoint(),
        log.tenant,
    )
    [delivery] = await log.with_status("pending")
    shown = await history.find(log.caller(), delivery)
    assert (shown.body, shown.attempts, shown.last_attempt, shown.attempts_made) == (None, [], None, 0)
    assert (shown.job_id, shown.job_version, shown.in_flight) == (None, None, False)
