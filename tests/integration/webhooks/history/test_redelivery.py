"""A delivery that is sent again, with the same id and body, whatever happens at the same moment."""

import asyncio
from uuid import UUID

import asyncpg
import pytest

from chassis.auth import Caller
from chassis.postgres import Database
from chassis.problems import ProblemError
from darkroom_contracts.api import Scope
from darkroom_contracts.states import DeliveryStatus
from tests.integration.webhooks.dispatchers import Dispatch
from tests.integration.webhooks.history.log import AMPLE, Log
from tests.integration.webhooks.jobs import Shop
from tests.support.receiver import Answer, Received, Receiver, always
from tests.support.waiting import eventually
from webhooks.history.redelivery import Redelivery

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
CLAIM = """
    UPDATE webhook_deliveries SET status = 'pending', next_attempt_at = now(), finished_at = NULL,
        lease_token = gen_random_uuid(), lease_expires_at = now() + interval '1 minute'
    WHERE id = $1
"""
DISABLE = "UPDATE webhook_endpoints SET status = 'disabled', disabled_reason = 'test' WHERE id = $1"
DELETE = "UPDATE webhook_endpoints SET deleted_at = now() WHERE id = $1"
FORGET_JOB = "DELETE FROM jobs WHERE id = $1"
DELETE_JOB = "UPDATE jobs SET deleted_at = now(), input = '{}', metadata = '{}', webhook_url = NULL WHERE id = $1"


@pytest.fixture
def redeliver(pool: Database) -> Redelivery:
    return Redelivery(pool, AMPLE)


@pytest.fixture
def caller(shop: Shop) -> Caller:
    return Caller(shop.tenant, "key", Scope.CLIENT)


async def refusal(redeliver: Redelivery, caller: Caller, delivery: UUID) -> tuple[int, str]:
    """Return status and code of the problem."""
    with pytest.raises(ProblemError) as refused:
        await redeliver(caller, delivery)
    return refused.value.problem.status, refused.value.problem.code


async def delivered(dispatch: Dispatch, shop: Shop, url: str | None) -> UUID:
    """End a job, deliver its event to the implicit or a standing endpoint, and return the delivery."""
    await shop.end(url)
    await dispatch.round()
    return UUID(str((await shop.deliveries())[0]["id"]))


async def test_it_is_sent_again_with_its_id_and_body(
    redeliver: Redelivery, caller: Caller, dispatch: Dispatch, shop: Shop, receiver: Receiver
) -> None:
    """Due at once in a new schedule; the attempts are numbered on."""
    receiver.behave = always(410)
    delivery = await delivered(dispatch, shop, receiver.url)
    before = (await shop.deliveries())[0]
    receiver.behave = always(200)
    shown = await redeliver(caller, delivery)
    assert (shown.status, shown.failures, shown.attempts_made) == (DeliveryStatus.PENDING, 0, 1)
    assert shown.scheduled_at > before["scheduled_at"]
    assert (shown.finished_at, shown.created_at) == (None, before["created_at"])
    await dispatch.round()
    first, second = receiver.requests
    assert (first.delivery_id, first.body) == (second.delivery_id, second.body)
    assert await shop.count("succeeded") == 1
    assert [attempt["number"] for attempt in await shop.attempts(delivery)] == [1, 2]


async def test_one_that_waits_is_due_at_once(
    redeliver: Redelivery, caller: Caller, dispatch: Dispatch, shop: Shop, receiver: Receiver
) -> None:
    """The pause of its schedule is over, and the schedule begins anew."""
    receiver.behave = always(500)
    delivery = await delivered(dispatch, shop, receiver.url)
    receiver.behave = always(200)
    await redeliver(caller, delivery)
    await dispatch.round()
    assert len(receiver.requests) == 2
    assert await shop.count("succeeded") == 1


async def test_none_is_sent_again_while_an_attempt_runs(
    redeliver: Redelivery, caller: Caller, dispatch: Dispatch, shop: Shop, receiver: Receiver
) -> None:
    """Its outcome is not known yet; the attempt goes on as if nothing had been asked."""
    release = asyncio.Event()

    async def wait(request: Received) -> Answer:
        await release.wait()
        return Answer()

    receiver.behave = wait
    await shop.end(receiver.url)
    round_ = asyncio.create_task(dispatch.round())
    [request] = await receiver.received(1)
    assert await refusal(redeliver, caller, request.delivery_id) == (409, "delivery_in_flight")
    release.set()
    await round_
    assert await shop.count("succeeded") == 1
    assert len(receiver.requests) == 1


async def test_a_claim_at_the_same_moment_wins(
    redeliver: Redelivery, log: Log, rows: asyncpg.Connection, database: str
) -> None:
    """A redelivery that waits for the claim's lock finds the attempt and leaves it alone."""
    [delivery] = await log.deliver(await log.endpoint())
    other = await asyncpg.connect(database)
    async with other.transaction():
        await other.execute(CLAIM, delivery)
        asked = asyncio.create_task(refusal(redeliver, log.caller(), delivery))
        await eventually(lambda: _is_waiting(rows), what="the redelivery waits for the claim")
    assert await asked == (409, "delivery_in_flight")
    await other.close()
    assert (await log.row(delivery))["lease_token"] is not None


async def _is_waiting(rows: asyncpg.Connection) -> bool:
    return bool(await rows.fetchval(WAITING))


async def test_two_at_once_send_it_once(
    redeliver: Redelivery, caller: Caller, dispatch: Dispatch, shop: Shop, receiver: Receiver
) -> None:
    """A double click is accepted twice, and the delivery is sent once more."""
    delivery = await delivered(dispatch, shop, receiver.url)
    answers = await asyncio.gather(*(redeliver(caller, delivery) for _ in range(5)))
    assert {answer.status for answer in answers} == {DeliveryStatus.PENDING}
    await dispatch.round()
    assert len(receiver.requests) == 2


@pytest.mark.parametrize("end", [DISABLE, DELETE])
async def test_nothing_is_sent_to_an_endpoint_that_ended(
    redeliver: Redelivery, caller: Caller, dispatch: Dispatch, shop: Shop, receiver: Receiver, end: str
) -> None:
    """The 409 comes before anything is changed. If it ends right afterwards, the delivery ends as canceled."""
    endpoint = await shop.standing(receiver.url)
    delivery = await delivered(dispatch, shop, None)
    await redeliver(caller, delivery)
    await shop.execute(end, endpoint)
    assert await refusal(redeliver, caller, delivery) == (409, "endpoint_inactive")
    await dispatch.round()
    assert (await shop.count("canceled"), len(receiver.requests)) == (1, 1)
    assert await refusal(redeliver, caller, delivery) == (409, "endpoint_inactive")
    assert await shop.count("canceled") == 1


async def test_a_paused_endpoint_keeps_it(redeliver: Redelivery, log: Log) -> None:
    """It waits until the endpoint is enabled again."""
    endpoint = await log.endpoint()
    [delivery] = await log.deliver(endpoint)
    await log.execute("UPDATE webhook_endpoints SET status = 'paused' WHERE id = $1", endpoint)
    assert (await redeliver(log.caller(), delivery)).status is DeliveryStatus.PENDING


@pytest.mark.parametrize("end", [DELETE_JOB, FORGET_JOB])
@pytest.mark.parametrize("sent", [True, False])
async def test_it_needs_no_job(
    redeliver: Redelivery, caller: Caller, dispatch: Dispatch, shop: Shop, receiver: Receiver, end: str, sent: bool
) -> None:
    """What is sent was kept before the job was deleted or purged, also where it had not been sent yet."""
    [job] = await shop.end(receiver.url)
    if sent:
        await dispatch.round()
    [delivery] = await shop.deliveries()
    await shop.execute(end, job)
    await redeliver(caller, delivery["id"])
    await dispatch.round()
    assert len(receiver.requests) == 1 + sent
    event = receiver.requests[-1].event
    assert (event["data"]["id"], event["data"]["input"]["prompt"]) == (str(job), "a lighthouse")
    assert await shop.count("succeeded") == 1


async def test_strangers_and_unknown_ids_are_answered_alike(redeliver: Redelivery, log: Log) -> None:
    """A client can't find out that another tenant or the operators have such a delivery."""
    [delivery] = await log.deliver(await log.endpoint())
    operators = log.operators()
    [of_operators] = await operators.deliver(await operators.endpoint())
    stranger = (await log.another()).caller()
    for each in (delivery, of_operators, UUID(int=1)):
        assert await refusal(redeliver, stranger, each) == (404, "not_found")
    assert await log.with_status("succeeded") == [delivery, of_operators]
    assert (await redeliver(log.caller(Scope.OPERATOR), of_operators)).status is DeliveryStatus.PENDING
