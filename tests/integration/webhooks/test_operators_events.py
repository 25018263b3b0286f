"""Operators' events, from a tenant's endpoint that fails to the receiver of an operators' endpoint."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx2
import pytest

from darkroom import webhooks
from darkroom_contracts.api.dead_letters import DeadLetterQuery, RevealRequest
from darkroom_contracts.states import LetterKind
from darkroom_contracts.webhooks import OperatorEvent
from operations.desk.detail import ShowLetter
from operations.desk.revealing import RevealLetter
from operations.desk.searching import Letters
from tests.integration.webhooks.dispatchers import Dispatch, open_dispatch
from tests.integration.webhooks.http_api import OLD_KEY
from tests.integration.webhooks.jobs import Shop
from tests.support.receiver import Received, Receiver, always, open_receiver
from webhooks.dispatch.schedule import PAUSES
from webhooks.secrets import MasterKeys

ENDPOINTS = "/v1/webhook-endpoints"
TENANT = "shop"
FAILING_FOR = (
    "UPDATE webhook_endpoints SET failing_since = now() - make_interval(hours => $1) WHERE failing_since IS NOT NULL"
)


@pytest.fixture
async def shop(rows: asyncpg.Connection, client: httpx2.AsyncClient) -> Shop:
    """Return the jobs of the client's tenant."""
    return Shop(rows, await rows.fetchval("SELECT id FROM tenants WHERE name = $1", TENANT))


@pytest.fixture
async def dispatch(database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Dispatch]:
    """Open a dispatcher for which the first failure that it sees counts."""
    monkeypatch.setattr("webhooks.dispatch.failing.CONFIRMED_SECONDS", 0.0)
    async with open_dispatch(database, keys=MasterKeys([OLD_KEY])) as opened:
        yield opened


@pytest.fixture
async def desk() -> AsyncIterator[Receiver]:
    """Listen for operators' events."""
    async with open_receiver() as opened:
        yield opened


async def make(http: httpx2.AsyncClient, **fields: Any) -> dict[str, Any]:
    """Create an endpoint."""
    response = await http.post(ENDPOINTS, json=fields)
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    return made


async def subscribe(operator: httpx2.AsyncClient, desk: Receiver) -> dict[str, Any]:
    """Create an operators' endpoint for every event."""
    return await make(operator, url=f"{desk.url}/events", events=[*OperatorEvent], audience="operator")


async def fail(dispatch: Dispatch, shop: Shop, hours: int) -> None:
    """Let an attempt fail at an endpoint that has failed for some hours, and deliver what that causes."""
    await shop.execute(FAILING_FOR, hours)
    await shop.make_due()
    await dispatch.round()
    await dispatch.round()  # the event, which the first round recorded


def event_of(request: Received, secret: str) -> webhooks.Event:
    """Verify a request as its receiver does, and return its event."""
    event = webhooks.unwrap(request.headers, request.body, secret)
    assert isinstance(event, webhooks.Event)
    return event


async def test_an_endpoint_that_only_fails_is_reported_and_then_disabled(
    client: httpx2.AsyncClient,
    operator: httpx2.AsyncClient,
    dispatch: Dispatch,
    shop: Shop,
    receiver: Receiver,
    desk: Receiver,
) -> None:
    """Operators get one event after 60 hours and one after 120, signed with their secret, and without the URL."""
    operators = await subscribe(operator, desk)
    receiver.behave = always(404, b"no such hook")
    broken = await make(client, url=f"{receiver.url}/hooks?token=secret", events=["job.canceled"])
    await shop.end(None)
    await dispatch.round()
    for hours in (0, 59):
        await fail(dispatch, shop, hours)
    assert desk.requests == []
    for hours in (61, 62):
        await fail(dispatch, shop, hours)
    [request] = desk.requests
    warning = event_of(request, operators["secret"])
    assert warning.type == OperatorEvent.ENDPOINT_FAILING
    assert warning.data["endpoint_id"] == broken["id"]
    assert warning.data["tenant_id"] == str(shop.tenant)
    assert warning.data["origin"] == receiver.url
    assert "60 hours" in warning.data["reason"]
    assert b"token" not in request.body

    await fail(dispatch, shop, 121)
    _, request = desk.requests
    end = event_of(request, operators["secret"])
    assert end.type == OperatorEvent.ENDPOINT_DISABLED
    assert end.data["endpoint_id"] == broken["id"]
    shown = (await client.get(f"{ENDPOINTS}/{broken['id']}")).json()
    assert (shown["status"], shown["disabled_reason"]) == ("disabled", end.data["reason"])
    assert end.data["failing_since"] is not None


async def test_a_success_in_between_ends_it(
    client: httpx2.AsyncClient,
    operator: httpx2.AsyncClient,
    dispatch: Dispatch,
    shop: Shop,
    receiver: Receiver,
    desk: Receiver,
) -> None:
    """From then on the hours count anew."""
    await subscribe(operator, desk)
    receiver.behave = always(404)
    await make(client, url=receiver.url, events=["job.canceled"])
    await shop.end(None)
    await dispatch.round()
    receiver.behave = always(204)
    await fail(dispatch, shop, 100)
    receiver.behave = always(404)
    await shop.end(None)
    await dispatch.round()
    assert desk.requests == []


async def test_410_is_reported_at_once(
    client: httpx2.AsyncClient,
    operator: httpx2.AsyncClient,
    dispatch: Dispatch,
    shop: Shop,
    receiver: Receiver,
    desk: Receiver,
) -> None:
    """The receiver says that it is gone."""
    operators = await subscribe(operator, desk)
    receiver.behave = always(410)
    await make(client, url=receiver.url, events=["job.canceled"])
    await shop.end(None)
    await dispatch.round()
    [request] = desk.requests
    event = event_of(request, operators["secret"])
    assert (event.type, "410" in event.data["reason"]) == (OperatorEvent.ENDPOINT_DISABLED, True)


async def test_tenants_see_nothing_of_it(
    client: httpx2.AsyncClient,
    operator: httpx2.AsyncClient,
    dispatch: Dispatch,
    shop: Shop,
    receiver: Receiver,
    desk: Receiver,
) -> None:
    """Neither the operators' endpoint nor its deliveries; operators see both."""
    operators = await subscribe(operator, desk)
    receiver.behave = always(410)
    await make(client, url=receiver.url, events=["job.canceled"])
    await shop.end(None)
    await dispatch.round()
    assert (await client.get(f"{ENDPOINTS}/{operators['id']}")).status_code == 404
    log = "/v1/webhook-deliveries"
    assert {each["event"] for each in (await client.get(log)).json()["deliveries"]} == {"job.canceled"}
    [sent] = (await operator.get(log, params={"audience": "operator"})).json()["deliveries"]
    assert (sent["event"], sent["status"]) == (OperatorEvent.ENDPOINT_DISABLED, "succeeded")
    assert (await client.get(f"{log}/{sent['id']}")).status_code == 404


async def test_an_event_that_operators_never_took_is_a_dead_letter(
    client: httpx2.AsyncClient,
    operator: httpx2.AsyncClient,
    dispatch: Dispatch,
    shop: Shop,
    receiver: Receiver,
    desk: Receiver,
) -> None:
    """It belongs to no tenant and no job."""
    await subscribe(operator, desk)
    desk.behave = always(404)
    receiver.behave = always(410)
    await make(client, url=receiver.url, events=["job.canceled"])
    await shop.end(None)
    for _ in range(len(PAUSES) + 2):
        await dispatch.round()
        await shop.make_due()
    [listed] = (await Letters(dispatch.database).page(DeadLetterQuery(kind=LetterKind.WEBHOOK))).dead_letters
    letter = await ShowLetter(dispatch.database)(listed.id)
    assert letter.delivery is not None
    assert (letter.tenant, letter.job_id, letter.delivery.event) == (None, None, OperatorEvent.ENDPOINT_DISABLED)
    hidden = await RevealLetter(dispatch.database)("key", listed.id, RevealRequest("looking"))
    assert hidden.url == f"{desk.url}/events"
