"""Dead letters of deliveries: written, and resolved, in the transaction in which a delivery ends."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from chassis.postgres import Connection
from webhooks.dispatch import store
from webhooks.dispatch.records import Ended


async def bury(connection: Connection, ended: Sequence[Ended], message: str) -> None:
    """Write dead letters of deliveries that ended for the same reason."""
    await bury_each(connection, {each.id: message for each in ended})


async def bury_each(connection: Connection, messages: Mapping[UUID, str]) -> None:
    """Write dead letters of deliveries, each with its reason. A letter that a redelivery answers is resolved."""
    if messages:
        await store.bury(connection, messages)


async def resolve(connection: Connection, ended: Sequence[Ended]) -> None:
    """Resolve the letters of deliveries that ended otherwise."""
    if ids := [each.id for each in ended if each.dead_lettered]:
        await store.resolve(connection, ids)
