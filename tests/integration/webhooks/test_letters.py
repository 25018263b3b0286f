"""Dead letters of webhooks over both services: dispatch makes and ends them, operations shows and replays them."""

import asyncio
from datetime import timedelta
from uuid import UUID

import msgspec
import pytest

from chassis.postgres import Database
from darkroom_contracts.api.dead_letters import DeadLetterDetail, DeadLetterQuery, RevealRequest
from darkroom_contracts.models import Catalogue
from darkroom_contracts.states import LetterKind
from darkroom_contracts.webhooks.payload import JobEvent
from operations.desk.closing import Closing
from operations.desk.detail import ShowLetter
from operations.desk.revealing import RevealLetter
from operations.desk.searching import Letters
from operations.errors import ConflictError
from operations.replays.outcome import Redelivered, ReplayRefusedError
from operations.replays.replay import replay
from operations.retention.pruning import PruneDeliveries, Retention
from operations.retention.purge import PurgeJobs
from tests.integration.webhooks.dispatchers import KEYS, Dispatch
from tests.integration.webhooks.jobs import Shop
from tests.support.receiver import Receiver, always
from webhooks.dispatch.giving_up import AGE, GivingUp
from webhooks.dispatch.records import Destination
from webhooks.dispatch.schedule import PAUSES

ACTOR = "command:test"
AT_ONCE = timedelta(0)


def no_catalogue() -> Catalogue:
    raise AssertionError("only an orphan's job is held to the catalogue")


async def exhaust(dispatch: Dispatch, shop: Shop) -> None:
    """Let every attempt of the schedule of what waits be made."""
    for _ in range(len(PAUSES) + 1):
        await shop.make_due()
        await dispatch.round()


async def letters(database: Database) -> list[DeadLetterDetail]:
    """Return all letters of webhooks, the oldest first."""
    listed = await Letters(database).page(DeadLetterQuery(kind=LetterKind.WEBHOOK, status="any"))
    return [await ShowLetter(database)(letter.id) for letter in reversed(listed.dead_letters)]


async def given_up(dispatch: Dispatch, shop: Shop, receiver: Receiver) -> DeadLetterDetail:
    """Return the letter of a delivery whose receiver answers 404, which opens no circuit."""
    receiver.behave = always(404, b"out of order")
    await shop.end(receiver.url)
    await exhaust(dispatch, shop)
    [letter] = await letters(dispatch.database)
    return letter


class NoneWorks:
    """Says that no receiver has worked for a day."""

    def skipped_seconds(self, destination: Destination) -> float:
        return 24 * 3600.0


async def test_what_a_schedule_did_not_deliver_a_replay_does(
    dispatch: Dispatch, shop: Shop, receiver: Receiver
) -> None:
    """The operator sees all attempts; the replay sends the same bytes and id, and its end ends the letter."""
    letter = await given_up(dispatch, shop, receiver)
    assert letter.delivery is not None
    assert (letter.status, letter.reason) == ("open", "webhook_exhausted")
    hidden = await RevealLetter(dispatch.database)(ACTOR, letter.id, RevealRequest("looking"))
    assert [attempt.response for attempt in hidden.attempts] == [b"out of order"] * len(receiver.requests)
    assert len(receiver.requests) == len(PAUSES) + 1
    receiver.behave = always(204)
    await replay(dispatch.database, letter.id, ACTOR, no_catalogue)
    await dispatch.round()
    first, *_, last = receiver.requests
    assert (last.delivery_id, last.body) == (first.delivery_id, first.body)
    [ended] = await letters(dispatch.database)
    assert (ended.status, ended.resolved_at is not None) == ("replayed", True)
    assert await shop.value("SELECT NOT dead_lettered FROM webhook_deliveries")
    with pytest.raises(ReplayRefusedError, match=r"replayed already: delivery .* is succeeded"):
        await replay(dispatch.database, letter.id, ACTOR, no_catalogue)


async def test_a_replay_that_fails_again_has_a_letter_of_its_own(
    dispatch: Dispatch, shop: Shop, receiver: Receiver
) -> None:
    """A whole schedule is made again; then the first letter is replayed and the second open."""
    letter = await given_up(dispatch, shop, receiver)
    await replay(dispatch.database, letter.id, ACTOR, no_catalogue)
    await exhaust(dispatch, shop)
    assert len(receiver.requests) == 2 * (len(PAUSES) + 1)
    first, second = await letters(dispatch.database)
    assert (first.id, first.status, second.status) == (letter.id, "replayed", "open")
    assert second.delivery is not None
    assert len(second.delivery.attempts) == len(receiver.requests)
    assert await shop.value("SELECT dead_lettered FROM webhook_deliveries")


async def test_a_replay_that_finds_the_receiver_gone_ends_the_letter(
    dispatch: Dispatch, shop: Shop, receiver: Receiver
) -> None:
    """410 ends the delivery for good, so no second letter is written."""
    letter = await given_up(dispatch, shop, receiver)
    receiver.behave = always(410)
    await replay(dispatch.database, letter.id, ACTOR, no_catalogue)
    await dispatch.round()
    [ended] = await letters(dispatch.database)
    assert ended.delivery is not None
    assert (ended.status, ended.delivery.status) == ("replayed", "failed")
    assert await shop.value("SELECT NOT dead_lettered FROM webhook_deliveries")


async def test_operators_and_the_tenant_at_once_send_once(dispatch: Dispatch, shop: Shop, receiver: Receiver) -> None:
    """The first one makes the delivery due; the others find it so."""
    letter = await given_up(dispatch, shop, receiver)
    sent = len(receiver.requests)
    receiver.behave = always(204)
    assert letter.delivery_id is not None
    results = await asyncio.gather(
        *(replay(dispatch.database, letter.id, ACTOR, no_catalogue) for _ in range(3)),
        _redeliver(dispatch.database, letter.delivery_id),
        return_exceptions=True,
    )
    assert {type(result) for result in results} <= {Redelivered, ReplayRefusedError, bool}
    await dispatch.round()
    assert len(receiver.requests) == sent + 1
    assert [each.status for each in await letters(dispatch.database)] == ["replayed"]


async def test_a_letter_is_not_restored_while_its_delivery_is_sent_again(
    dispatch: Dispatch, shop: Shop, receiver: Receiver
) -> None:
    """It would be open beside the letter that the delivery's end writes, and keep that end from being recorded."""
    letter = await given_up(dispatch, shop, receiver)
    assert letter.delivery_id is not None
    await Closing(dispatch.database).discard(ACTOR, letter.id, "nobody needs it")
    assert await _redeliver(dispatch.database, letter.delivery_id)
    with pytest.raises(ConflictError, match="sent again, or has been received"):
        await Closing(dispatch.database).restore(ACTOR, letter.id, "somebody does")
    await exhaust(dispatch, shop)
    assert [each.status for each in await letters(dispatch.database)] == ["discarded", "open"]
    receiver.behave = always(204)
    assert await _redeliver(dispatch.database, letter.delivery_id)
    await dispatch.round()
    with pytest.raises(ConflictError, match="sent again, or has been received"):
        await Closing(dispatch.database).restore(ACTOR, letter.id, "somebody does")


async def _redeliver(database: Database, delivery_id: UUID) -> bool:
    """Redeliver as a tenant does."""
    async with database.transaction() as connection:
        return bool(await connection.fetchval("SELECT redeliver($1)", delivery_id))


async def test_a_deleted_endpoint_ends_the_replayed_letter(dispatch: Dispatch, shop: Shop, receiver: Receiver) -> None:
    """The delivery is canceled, so nothing is left to replay."""
    receiver.behave = always(404)
    endpoint = await shop.standing(receiver.url)
    await shop.end(None)
    await exhaust(dispatch, shop)
    [letter] = await letters(dispatch.database)
    await replay(dispatch.database, letter.id, ACTOR, no_catalogue)
    await shop.execute("UPDATE webhook_endpoints SET deleted_at = now() WHERE id = $1", endpoint)
    await dispatch.round()
    [ended] = await letters(dispatch.database)
    assert ended.delivery is not None
    assert (ended.status, ended.delivery.status) == ("replayed", "canceled")


async def test_a_delivery_that_was_never_tried_outlives_its_job(
    dispatch: Dispatch, shop: Shop, receiver: Receiver
) -> None:
    """It was given up without an attempt; after the purge of its job a replay still sends the job as it was."""
    [job_id] = await shop.end(receiver.url)
    await shop.execute("UPDATE webhook_deliveries SET scheduled_at = now() - $1::interval", AGE * 2)
    await GivingUp(dispatch.database, NoneWorks(), KEYS.ids).run_once()
    [letter] = await letters(dispatch.database)
    assert await shop.value("SELECT snapshot IS NULL AND body IS NULL FROM webhook_deliveries")
    for loop in (PurgeJobs, PruneDeliveries):
        await _run_pass(loop(dispatch.database, AT_ONCE))
    assert await shop.value("SELECT count(*) FROM jobs") == 0
    await replay(dispatch.database, letter.id, ACTOR, no_catalogue)
    await dispatch.round()
    [request] = receiver.requests
    event = msgspec.json.decode(request.body, type=JobEvent)
    assert (event.data.id, event.data.status, event.data.input is not None) == (job_id, "canceled", True)
    assert [each.status for each in await letters(dispatch.database)] == ["replayed"]
    await _run_pass(PruneDeliveries(dispatch.database, AT_ONCE))
    [kept] = await letters(dispatch.database)
    assert (kept.delivery, kept.delivery_id, kept.job_id) == (None, letter.delivery_id, job_id)


async def _run_pass(loop: Retention) -> None:
    while await loop.run_once():
        pass
