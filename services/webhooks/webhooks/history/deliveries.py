"""Reading the log: pages of deliveries, and one delivery with its attempts."""

from uuid import UUID

from chassis.auth import Caller
from chassis.cursor import next_cursor, position
from chassis.postgres import Connection, Database
from darkroom_contracts.api.webhook_deliveries import (
    MAX_ATTEMPTS_SHOWN,
    WebhookDelivery,
    WebhookDeliveryDetail,
    WebhookDeliveryList,
    WebhookDeliveryQuery,
)
from darkroom_contracts.routes import IMPLICIT
from darkroom_contracts.states import DeliveryStatus
from webhooks.history import store
from webhooks.history.problems import NoSuchDeliveryError
from webhooks.history.store import EndpointOfLog
from webhooks.history.views import detail_view
from webhooks.registry.lookup import owner_of

LOOKED_AT = 1000
"""Most deliveries that a page looks at to find those that match a filter without an index."""
UNDELIVERED = frozenset({DeliveryStatus.FAILED, DeliveryStatus.RETIRED, DeliveryStatus.CANCELED})


class Deliveries:
    """The use cases of `list_deliveries` and `get_delivery`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, caller: Caller, query: WebhookDeliveryQuery) -> WebhookDeliveryList:
        """Return a page of the deliveries that the caller may see.

        Raises ProblemError: 422 for a malformed cursor, 403 for a client's key that asks for the operators'.
        """
        owner, before = owner_of(query.audience, caller), position(query.cursor)
        at_most = looks_at(query)
        async with self._database.connection() as connection:
            endpoints = _matching(await store.find_endpoints(connection, owner), query.endpoint)
            ids = await _walk(connection, query, endpoints, before, at_most)
            found = await store.read_deliveries(
                connection, ids, status=query.status, event=query.event, at_most=query.limit
            )
        return WebhookDeliveryList(found, next_cursor(ids, [each.id for each in found], query.limit, at_most))

    async def find(self, caller: Caller, delivery_id: UUID) -> WebhookDeliveryDetail:
        """Return a delivery with its attempts. Raises NoSuchDeliveryError."""
        async with self._database.transaction() as connection:
            found = await store.find_delivery(connection, caller, delivery_id)
            if found is None:
                raise NoSuchDeliveryError
            delivery = await read_delivery(connection, delivery_id)
            attempts = await store.list_attempts(connection, delivery_id, MAX_ATTEMPTS_SHOWN)
        return detail_view(delivery, attempts, found.body)


async def read_delivery(connection: Connection, delivery_id: UUID) -> WebhookDelivery:
    """Return a delivery. Raises NoSuchDeliveryError if retention has removed it since."""
    for delivery in await store.read_deliveries(connection, [delivery_id], at_most=1):
        return delivery
    raise NoSuchDeliveryError


def looks_at(query: WebhookDeliveryQuery) -> int:
    """Return how many ids a page looks at. Where all of them match, one more than it shows says whether more follow."""
    indexed = query.event is None and (query.status is None or (query.status in UNDELIVERED and query.job is None))
    return query.limit + 1 if indexed else LOOKED_AT


async def _walk(
    connection: Connection, query: WebhookDeliveryQuery, endpoints: list[UUID], before: UUID, at_most: int
) -> list[UUID]:
    if not endpoints:
        return []
    if query.job is not None:
        return await store.walk_job(connection, endpoints, query.job, before, at_most)
    if query.status in UNDELIVERED:
        return await store.walk_undelivered(connection, endpoints, query.status, before, at_most)
    return await store.walk_deliveries(connection, endpoints, before, at_most)


def _matching(endpoints: list[EndpointOfLog], wanted: str | None) -> list[UUID]:
    """Return the ids of the endpoints that a filter means: all, one, or the implicit one."""
    if wanted is None:
        return [endpoint.id for endpoint in endpoints]
    if wanted == IMPLICIT:
        return [endpoint.id for endpoint in endpoints if endpoint.implicit]
    return [endpoint.id for endpoint in endpoints if endpoint.id == UUID(wanted)]
