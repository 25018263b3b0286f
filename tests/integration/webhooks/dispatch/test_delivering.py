"""One dispatcher, real Postgres, real receivers."""

import asyncio
import time
from datetime import UTC, datetime
from types import SimpleNamespace

import asyncpg
import msgspec
import pytest
from prometheus_client import REGISTRY
from standardwebhooks import Webhook

from darkroom_contracts.webhooks.payload import JobEvent
from tests.integration.webhooks.dispatchers import KEYS, Dispatch, open_dispatch
from tests.integration.webhooks.jobs import Shop
from tests.support.receiver import Answer, Received, Receiver, always, open_receiver
from webhooks.dispatch.allotment import Limits
from webhooks.dispatch.schedule import PAUSES


async def test_an_end_reaches_its_receiver(dispatch: Dispatch, shop: Shop, receiver: Receiver) -> None:
    """The event is the public job, signed with the implicit endpoint's secret; the attempt is logged with timings."""
    [job_id] = await shop.end(f"{receiver.url}/hook?token=1")
    await dispatch.round()
    [request] = receiver.requests
    assert request.path == "/hook?token=1"
    event = msgspec.json.decode(request.body, type=JobEvent)
    assert (event.type, event.data.id, event.data.status, event.data.version) == ("job.canceled", job_id, "canceled", 2)
    [delivery] = await shop.deliveries()
    secret = KEYS.secret(KEYS.primary, delivery["endpoint_id"], 0)
    Webhook(secret).verify(request.body, request.headers)
    assert (delivery["id"], delivery["status"], delivery["attempt"]) == (request.delivery_id, "succeeded", 1)
    assert (delivery["body"], delivery["snapshot"], delivery["next_attempt_at"]) == (request.body, None, None)
    [attempt] = await shop.attempts()
    assert (attempt["number"], attempt["outcome"], attempt["status_code"]) == (1, "succeeded", 204)
    assert attempt["total_ms"] >= attempt["first_byte_ms"] > 0
    assert attempt["ended_at"] >= attempt["started_at"]


async def test_the_endpoint_keeps_its_master_key(dispatch: Dispatch, shop: Shop, receiver: Receiver) -> None:
    """The first use records it, so that another primary key leaves the secret as it is."""
    await shop.end(receiver.url)
    await dispatch.round()
    [delivery] = await shop.deliveries()
    assert delivery["tenant_id"] == shop.tenant
    assert (
        await shop.value("SELECT master_key FROM webhook_endpoints WHERE id = $1", delivery["endpoint_id"]) == "first"
    )


async def test_an_attempt_is_logged_before_it_is_sent(
    dispatch: Dispatch, shop: Shop, receiver: Receiver, rows: asyncpg.Connection
) -> None:
    """While the receiver reads, the log already has the attempt, open, under the delivery's lease."""
    seen = []

    async def look(request: Received) -> Answer:
        seen.extend(await rows.fetch("SELECT delivery_id, lease_token, outcome FROM webhook_attempts"))
        return Answer()

    receiver.behave = look
    await shop.end(receiver.url)
    await dispatch.round()
    [attempt] = seen
    assert (attempt["delivery_id"], attempt["outcome"]) == (receiver.requests[0].delivery_id, None)
    [logged] = await shop.attempts()
    assert logged["lease_token"] == attempt["lease_token"]


async def test_retries_keep_id_and_body(dispatch: Dispatch, shop: Shop, receiver: Receiver) -> None:
    """Every attempt sends the same bytes, whatever became of the job; the attempts are numbered."""
    receiver.behave = always(500, b"broken")
    [job_id] = await shop.end(receiver.url)
    await dispatch.round()
    [delivery] = await shop.deliveries()
    assert (delivery["status"], delivery["failures"], delivery["lease_token"]) == ("pending", 1, None)
    pause = (delivery["next_attempt_at"] - delivery["created_at"]).total_seconds()
    assert PAUSES[0] * 0.8 <= pause <= PAUSES[0] * 1.2 + 5
    await dispatch.round()
    assert len(receiver.requests) == 1, "it is not due yet"
    await shop.execute('UPDATE jobs SET metadata = \'{"changed": "yes"}\' WHERE id = $1', job_id)
    await shop.make_due()
    receiver.behave = always(200)
    await dispatch.round()
    first, second = receiver.requests
    assert (first.delivery_id, first.body) == (second.delivery_id, second.body)
    [failed, succeeded] = await shop.attempts()
    assert (failed["number"], failed["outcome"], failed["status_code"]) == (1, "failed", 500)
    assert (failed["error"], failed["response"]) == ("The receiver answered 500.", b"broken")
    assert (succeeded["number"], succeeded["outcome"], succeeded["error"]) == (2, "succeeded", None)


async def test_every_attempt_is_signed_at_its_own_time(
    dispatch: Dispatch, shop: Shop, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A receiver that refuses what is older than five minutes accepts the last attempt of a schedule of three days."""
    receiver.behave = always(500)
    await shop.end(receiver.url)
    for days in (0, 3):
        now = time.time() + days * 86_400
        monkeypatch.setattr("webhooks.dispatch.signing.time", SimpleNamespace(time=lambda at=now: at))
        await shop.make_due()
        await dispatch.round()
        signed_at = int(receiver.requests[-1].headers["webhook-timestamp"])
        assert signed_at == int(now)
    [delivery] = await shop.deliveries()
    library = Webhook(KEYS.secret(KEYS.primary, delivery["endpoint_id"], 0))
    for request in receiver.requests:
        sent_at = datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), UTC)
        expected = library.sign(str(request.delivery_id), sent_at, request.body.decode())
        assert request.headers["webhook-signature"] == expected
    assert len({request.headers["webhook-signature"] for request in receiver.requests}) == 2


async def test_after_the_schedule_it_failed(dispatch: Dispatch, shop: Shop, receiver: Receiver) -> None:
    """Ten attempts, and no more."""
    receiver.behave = always(404)
    await shop.end(receiver.url)
    for _ in range(len(PAUSES) + 3):
        await dispatch.round()
        await shop.make_due()
    [delivery] = await shop.deliveries()
    assert (delivery["status"], delivery["attempt"], delivery["failures"]) == ("failed", 10, 10)
    assert delivery["finished_at"] is not None
    assert len(receiver.requests) == len(await shop.attempts()) == 10


async def test_410_ends_a_delivery_of_the_implicit_endpoint_alone(
    dispatch: Dispatch, shop: Shop, receiver: Receiver
) -> None:
    """Without a dead letter. The tenant's other URLs go on."""
    receiver.behave = always(410)
    await shop.end(receiver.url)
    await dispatch.round()
    [delivery] = await shop.deliveries()
    assert delivery["status"] == "failed"
    status = await shop.value("SELECT status FROM webhook_endpoints WHERE id = $1", delivery["endpoint_id"])
    assert status == "enabled"
    assert await shop.value("SELECT count(*) FROM dead_letters") == 0
    receiver.behave = always(204)
    await shop.end(f"{receiver.url}/other")
    await dispatch.round()
    assert await shop.count("succeeded") == 1


async def test_410_disables_a_standing_endpoint(dispatch: Dispatch, shop: Shop, receiver: Receiver) -> None:
    """What still waits for it is canceled, and nothing more is recorded."""
    endpoint = await shop.standing(receiver.url)
    gate = asyncio.Event()

    async def gone(request: Received) -> Answer:
        await gate.wait()
        return Answer(410)

    receiver.behave = gone
    await shop.end(None)
    await dispatch.dispatcher.run_once()
    await receiver.received(1)
    await shop.end(None)
    gate.set()
    await dispatch.flights.drain()
    await dispatch.round()
    assert sorted(row["status"] for row in await shop.deliveries()) == ["canceled", "failed"]
    row = await shop.value("SELECT disabled_reason FROM webhook_endpoints WHERE id = $1", endpoint)
    assert row == "The receiver answered 410 (Gone)."
    await shop.end(None)
    assert len(await shop.deliveries()) == 2
    assert len(receiver.requests) == 1


async def test_a_paused_endpoint_catches_up(dispatch: Dispatch, shop: Shop, receiver: Receiver) -> None:
    """Its deliveries wait, and are sent once it is resumed."""
    endpoint = await shop.standing(receiver.url)
    await shop.execute("UPDATE webhook_endpoints SET status = 'paused' WHERE id = $1", endpoint)
    await shop.end(None, 3)
    await dispatch.round()
    assert (await shop.count("pending"), receiver.requests) == (3, [])
    await shop.execute("UPDATE webhook_endpoints SET status = 'enabled' WHERE id = $1", endpoint)
    await dispatch.round()
    assert (await shop.count("succeeded"), len(receiver.requests)) == (3, 3)


async def test_a_deleted_job_is_still_delivered(dispatch: Dispatch, shop: Shop, receiver: Receiver) -> None:
    """The delivery holds the job as it was."""
    [job_id] = await shop.end(receiver.url)
    await shop.execute("UPDATE jobs SET deleted_at = now(), input = '{}', webhook_url = NULL WHERE id = $1", job_id)
    await dispatch.round()
    assert receiver.requests[0].event["data"]["input"]["prompt"] == "a lighthouse"


async def test_a_denied_address_is_never_dialed(database: str, shop: Shop, receiver: Receiver) -> None:
    """The attempt says why."""
    async with open_dispatch(database, allowed=()) as dispatch:
        await shop.end(receiver.url)
        await dispatch.round()
    [attempt] = await shop.attempts()
    assert (attempt["outcome"], attempt["status_code"]) == ("failed", None)
    assert attempt["error"].startswith("The URL must")
    assert receiver.requests == []


async def test_a_job_that_cant_be_decoded_ends_its_delivery(dispatch: Dispatch, shop: Shop, receiver: Receiver) -> None:
    """The log says so, nothing of the job is quoted, and others are sent."""
    await shop.end(receiver.url, 2)
    broken, _ = await shop.deliveries()
    await shop.execute('UPDATE webhook_deliveries SET snapshot = \'{"prompt": "secret"}\' WHERE id = $1', broken["id"])
    await dispatch.round()
    assert (await shop.count("failed"), await shop.count("succeeded")) == (1, 1)
    [attempt] = await shop.attempts(broken["id"])
    assert attempt["outcome"] == "failed"
    assert "can't be encoded" in attempt["error"]
    assert "secret" not in attempt["error"]


async def test_a_slow_origin_is_probed(dispatch: Dispatch, shop: Shop, receiver: Receiver) -> None:
    """After a 503 nothing more is sent there, by any tenant, until its pause is over."""
    other = await shop.another()
    receiver.behave = always(503, retry_after="30")
    await shop.end(receiver.url)
    await dispatch.round()
    await other.end(f"{receiver.url}/other")
    await dispatch.round()
    assert len(receiver.requests) == 1
    assert await shop.count("pending") == 2
    [first, _] = await shop.deliveries()
    assert (first["next_attempt_at"] - first["created_at"]).total_seconds() >= 30
    assert REGISTRY.get_sample_value("darkroom_webhook_open_circuits", {"kind": "origin"}) == 1


async def test_a_receiver_that_hangs_delays_no_other(database: str, shop: Shop, receiver: Receiver) -> None:
    """Each origin has its own share of the flights, and healthy deliveries are completed meanwhile."""
    release = asyncio.Event()

    async def hang(request: Received) -> Answer:
        if request.path == "/hang":
            await release.wait()
        return Answer()

    receiver.behave = hang
    limits = Limits(total=8, per_tenant=8, per_origin=4)
    async with open_dispatch(database, limits=limits, seconds=30) as dispatch:
        await shop.end(receiver.url)
        await dispatch.round()
        await shop.end(f"{receiver.url}/hang", 20)
        await dispatch.dispatcher.run_once()
        await receiver.received(1 + 4)
        async with open_receiver() as healthy:
            await shop.end(healthy.url, 20)
            while len(healthy.requests) < 20:
                await dispatch.dispatcher.run_once()
                await asyncio.sleep(0.01)
            assert dispatch.flights.in_flight.total >= 4
        assert receiver.answering == 4
        release.set()


async def test_two_dispatchers_share(database: str, shop: Shop, receiver: Receiver) -> None:
    """No delivery is claimed twice, and each dispatcher sends some."""
    await shop.end(receiver.url, 60)
    limits = Limits(total=8, per_tenant=8, per_origin=8)
    async with open_dispatch(database, limits=limits) as first, open_dispatch(database, limits=limits) as second:
        while await shop.count("pending"):
            await asyncio.gather(first.round(), second.round())
    assert sorted(receiver.delivery_ids) == sorted({row["id"] for row in await shop.deliveries()})
    assert len(await shop.attempts()) == 60


async def test_more_destinations_than_a_round_sees(
    dispatch: Dispatch, shop: Shop, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rounds walk over all destinations in turn."""
    monkeypatch.setattr("webhooks.dispatch.survey.PAGE", 2)
    for _ in range(5):
        await (await shop.another()).end(receiver.url)
    for _ in range(4):
        await dispatch.round()
    assert await shop.count("succeeded") == 5
