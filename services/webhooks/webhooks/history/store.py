"""The statements of history. All of them raise what `chassis.connection.Connection` raises."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from chassis.auth import Caller
from chassis.postgres import Connection, load_queries
from darkroom_contracts.api.webhook_deliveries import WebhookAttempt, WebhookDelivery
from darkroom_contracts.states import DeliveryStatus
from webhooks.history.views import attempt_view, delivery_view
from webhooks.registry.lookup import is_operator

queries = load_queries("webhooks.history")


class EndpointOfLog(NamedTuple):
    """An endpoint that may have deliveries."""

    id: UUID
    implicit: bool


class FoundDelivery(NamedTuple):
    """What is not in the view of a delivery."""

    body: bytes | None
    active: bool
    """Whether its endpoint is neither disabled nor deleted."""


async def find_endpoints(connection: Connection, tenant_id: UUID | None) -> list[EndpointOfLog]:
    """Return a tenant's endpoints or, for None, the operators'; deleted ones too."""
    rows = queries.find_endpoints(connection, tenant_id=tenant_id)
    return [EndpointOfLog(row["id"], row["implicit"]) async for row in rows]


async def walk_deliveries(connection: Connection, endpoints: Sequence[UUID], before: UUID, at_most: int) -> list[UUID]:
    """Return the latest deliveries of endpoints that are older than `before`, the newest first."""
    rows = queries.walk_deliveries(connection, endpoints=endpoints, before=before, at_most=at_most)
    return [row["id"] async for row in rows]


async def walk_undelivered(
    connection: Connection, endpoints: Sequence[UUID], status: DeliveryStatus, before: UUID, at_most: int
) -> list[UUID]:
    """As `walk_deliveries`, of those that ended without success in a status."""
    rows = queries.walk_undelivered(connection, endpoints=endpoints, status=status, before=before, at_most=at_most)
    return [row["id"] async for row in rows]


async def walk_job(
    connection: Connection, endpoints: Sequence[UUID], job_id: UUID, before: UUID, at_most: int
) -> list[UUID]:
    """As `walk_deliveries`, of those of a job."""
    rows = queries.walk_job(connection, endpoints=endpoints, job_id=job_id, before=before, at_most=at_most)
    return [row["id"] async for row in rows]


async def read_deliveries(
    connection: Connection,
    ids: Sequence[UUID],
    *,
    status: DeliveryStatus | None = None,
    event: str | None = None,
    at_most: int,
) -> list[WebhookDelivery]:
    """Return those of the deliveries that match, the newest first."""
    rows = queries.read_deliveries(connection, ids=ids, status=status, event=event, at_most=at_most)
    return [delivery_view(row) async for row in rows]


async def find_delivery(connection: Connection, caller: Caller, delivery_id: UUID) -> FoundDelivery | None:
    """Return a delivery of the caller's tenant, or for an operator's key one of the operators' endpoints, or None."""
    row = await queries.find_delivery(
        connection, id=delivery_id, tenant_id=caller.tenant_id, may_see_operators=is_operator(caller)
    )
    return FoundDelivery(row["body"], row["active"]) if row else None


async def list_attempts(connection: Connection, delivery_id: UUID, at_most: int) -> list[WebhookAttempt]:
    """Return the latest attempts of a delivery, the first one first."""
    rows = queries.list_attempts(connection, delivery_id=delivery_id, at_most=at_most)
    return [attempt_view(row) async for row in rows][::-1]


async def redeliver(connection: Connection, delivery_id: UUID) -> bool:
    """Make a delivery due in a new schedule. Return False while an attempt is in flight, or if it does not exist."""
    return bool(await queries.redeliver(connection, id=delivery_id))


async def oldest_delivery(connection: Connection, endpoint_id: UUID) -> UUID | None:
    """Return the first delivery of an endpoint that is kept."""
    oldest: UUID | None = await queries.oldest_delivery(connection, endpoint_id=endpoint_id)
    return oldest


async def following_undelivered(connection: Connection, endpoint_id: UUID, since: UUID, at_most: int) -> list[UUID]:
    """Return the first deliveries since an id, itself included, that ended without success. In the order of ids."""
    rows = queries.following_undelivered(connection, endpoint_id=endpoint_id, since=since, at_most=at_most)
    return [row["id"] async for row in rows]


async def following(connection: Connection, endpoint_id: UUID, since: UUID, at_most: int) -> list[UUID]:
    """As `following_undelivered`, whatever their status."""
    rows = queries.following(connection, endpoint_id=endpoint_id, since=since, at_most=at_most)
    return [row["id"] async for row in rows]


async def redeliver_ended(connection: Connection, ids: Sequence[UUID]) -> int:
    """Make deliveries due that ended. Return how many there were."""
    return int(await queries.redeliver_ended(connection, ids=ids))
