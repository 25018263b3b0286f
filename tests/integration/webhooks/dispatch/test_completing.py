"""Recording the ends of attempts in batches."""

import asyncio
from uuid import UUID, uuid4

import pytest

from chassis.errors import BadDataError
from darkroom_contracts.states import DeliveryOutcome, DeliveryStatus
from tests.integration.webhooks.dispatchers import Dispatch
from tests.integration.webhooks.jobs import Shop
from tests.support.receiver import Receiver
from webhooks.dispatch.completing import Completer
from webhooks.dispatch.records import Completion, Endpoint

BEGIN = """
    WITH begun AS (
        UPDATE webhook_deliveries SET attempt = 1, snapshot = NULL, body = 'x',
            lease_token = gen_random_uuid(), lease_expires_at = now() + interval '1 minute'
        RETURNING id, lease_token
    )
    INSERT INTO webhook_attempts (delivery_id, number, lease_token) SELECT id, 1, lease_token FROM begun
"""


def completion(delivery: UUID, token: UUID, error: str | None = None) -> Completion:
    succeeded = error is None
    return Completion(
        id=delivery,
        endpoint=Endpoint(id=uuid4(), tenant_id=uuid4(), implicit=True, rotation=0, master_key=None),
        number=1,
        token=token,
        outcome=DeliveryOutcome.SUCCEEDED if succeeded else DeliveryOutcome.FAILED,
        status=DeliveryStatus.SUCCEEDED if succeeded else DeliveryStatus.PENDING,
        pause=None if succeeded else 5.0,
        error=error,
    )


async def test_one_that_postgres_refuses_costs_no_other(dispatch: Dispatch, shop: Shop, receiver: Receiver) -> None:
    """The others of its batch are recorded; its own attempt is repeated when its lease expires."""
    for _ in range(3):
        await shop.end(receiver.url)
    await shop.execute(BEGIN)
    leased = [(row["id"], row["lease_token"]) for row in await shop.deliveries()]
    errors = [None, "Postgres stores no \0 in text.", None]
    completer = Completer(dispatch.database)
    first, refused, last = await asyncio.gather(
        *(completer.complete(completion(*lease, error)) for lease, error in zip(leased, errors, strict=True)),
        return_exceptions=True,
    )
    assert (first, last) == (True, True)
    assert isinstance(refused, BadDataError)
    assert [row["status"] for row in await shop.deliveries()] == ["succeeded", "pending", "succeeded"]
    outcomes = {row["delivery_id"]: row["outcome"] for row in await shop.attempts()}
    assert [outcomes[delivery] for delivery, _ in leased] == ["succeeded", None, "succeeded"]


async def test_one_that_is_refused_alone_fails_alone(dispatch: Dispatch, shop: Shop, receiver: Receiver) -> None:
    """There is nothing left to take apart."""
    await shop.end(receiver.url)
    await shop.execute(BEGIN)
    [row] = await shop.deliveries()
    with pytest.raises(BadDataError):
        await Completer(dispatch.database).complete(completion(row["id"], row["lease_token"], "\0"))
