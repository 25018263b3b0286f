"""The statements of the registry: endpoints, master keys, allowances, and counts of deliveries."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec

from chassis.postgres import Connection, Row, load_queries
from darkroom_contracts.states import EndpointAudience, EndpointStatus
from webhooks.registry.records import Counts, Endpoint, HeadersOf, KeyUse, NewEndpoint

queries = load_queries("webhooks.registry")
_decode_filter = msgspec.json.Decoder(dict[str, str]).decode
_decode_counts = msgspec.json.Decoder(dict[str, int]).decode


async def find_endpoint(
    connection: Connection, endpoint_id: UUID | None, tenant_id: UUID, *, operator: bool
) -> Endpoint | None:
    """Return an endpoint that the caller may see; without an id the tenant's implicit one."""
    row = await queries.find_endpoint(connection, id=endpoint_id, tenant_id=tenant_id, operator=operator)
    return _endpoint(row) if row else None


async def lock_endpoint(connection: Connection, endpoint_id: UUID) -> Endpoint | None:
    """Lock an endpoint until the transaction ends, and return it as it is then. None if it was deleted."""
    row = await queries.lock_endpoint(connection, id=endpoint_id)
    return _endpoint(row) if row else None


async def list_endpoints(connection: Connection, tenant_id: UUID | None) -> list[Endpoint]:
    """Return the endpoints of a tenant, or without one the operators'."""
    return [_endpoint(row) async for row in queries.list_endpoints(connection, tenant_id=tenant_id)]


async def lock_creations(connection: Connection, tenant_id: UUID | None) -> None:
    """Let no other transaction create an endpoint for the same tenant."""
    await queries.lock_creations(connection, tenant_id=tenant_id)


async def count_standing(connection: Connection, tenant_id: UUID | None) -> int:
    """Return how many standing endpoints a tenant has, or without one the operators."""
    return int(await queries.count_standing(connection, tenant_id=tenant_id))


async def spend_allowance(
    connection: Connection, tenant_id: UUID, act: str, each: timedelta, at_once: int
) -> timedelta | None:
    """Count an act, one every `each` and `at_once` of them together. Return how long to wait if it exceeds that."""
    given = {"tenant_id": tenant_id, "act": act, "each": each, "at_once": at_once}
    if await queries.spend_allowance(connection, **given):
        return None
    wait: timedelta = await queries.time_to_allowance(connection, **given)
    return wait


async def insert_endpoint(connection: Connection, new: NewEndpoint) -> Endpoint:
    """Record a standing endpoint."""
    return _endpoint(await queries.insert_endpoint(connection, **msgspec.structs.asdict(new)))


async def update_endpoint(connection: Connection, changed: Endpoint) -> Endpoint:
    """Write what a change may write of a locked endpoint. Return the endpoint as it is then."""
    return _endpoint(
        await queries.update_endpoint(
            connection,
            id=changed.id,
            url=changed.url,
            description=changed.description,
            events=changed.events,
            metadata_filter=changed.metadata_filter,
            header_names=changed.header_names,
            headers=changed.headers,
            headers_key=changed.headers_key,
            ed25519=changed.ed25519,
            status=changed.status,
        )
    )


async def wake_dispatcher(connection: Connection) -> None:
    """Let a dispatcher look for deliveries that became due."""
    await queries.wake_dispatcher(connection)


async def delete_endpoint(connection: Connection, endpoint_id: UUID) -> None:
    """Delete a standing endpoint."""
    await queries.delete_endpoint(connection, id=endpoint_id)


async def adopt_master_key(connection: Connection, endpoint_id: UUID, key: str) -> Endpoint:
    """Give an endpoint a master key if it has none. Return it."""
    return _endpoint(await queries.adopt_master_key(connection, id=endpoint_id, key=key))


async def rotate_secret(connection: Connection, endpoint_id: UUID, key: str, overlap: timedelta | None) -> Endpoint:
    """Begin the next rotation of a locked endpoint under a master key; the secret before it is valid for `overlap`."""
    return _endpoint(await queries.rotate_secret(connection, id=endpoint_id, key=key, overlap=overlap))


async def record_event(connection: Connection, endpoint_id: UUID, event: str, data: dict[str, Any]) -> UUID | None:
    """Record a delivery for a standing endpoint. Return its id, or None if the endpoint is disabled or deleted."""
    delivery_id: UUID | None = await queries.record_event(connection, id=endpoint_id, event=event, data=data)
    return delivery_id


async def count_deliveries(connection: Connection, endpoint_id: UUID, period: timedelta, at_most: int) -> Counts:
    """Count the deliveries of an endpoint since a period, the newest ones if there are more than `at_most`."""
    row = await queries.count_deliveries(connection, endpoint_id=endpoint_id, period=period, at_most=at_most)
    return Counts(
        since=row["since"],
        deliveries=_decode_counts(row["deliveries"] or b"{}"),
        attempts=_decode_counts(row["attempts"] or b"{}"),
        delivery_ms=tuple(row["delivery_ms"] or (None, None)),
        attempt_ms=tuple(row["attempt_ms"] or (None, None)),
        oldest_pending_at=row["oldest_pending_at"],
    )


async def note_master_keys(connection: Connection, fingerprints: Mapping[str, bytes]) -> list[str]:
    """Record master keys that are new. Return the ids of those that were recorded with another fingerprint."""
    given = {"ids": list(fingerprints), "fingerprints": list(fingerprints.values())}
    await queries.note_master_keys(connection, **given)
    return [row["id"] async for row in queries.find_changed_keys(connection, **given)]


async def count_key_uses(connection: Connection) -> list[KeyUse]:
    """Return the master keys that endpoints use for a valid secret or for headers."""
    return [KeyUse(row["master_key"], row["endpoints"]) async for row in queries.count_key_uses(connection)]


async def lock_headers(
    connection: Connection, after: UUID, known: Sequence[str], but: str, at_most: int
) -> list[HeadersOf]:
    """Lock headers that were encrypted under a known master key, but not under that one, in the order of ids."""
    rows = queries.lock_headers(connection, after=after, known=known, but=but, at_most=at_most)
    return [HeadersOf(row["id"], row["headers"], row["headers_key"]) async for row in rows]


async def replace_headers(connection: Connection, fresh: Sequence[HeadersOf], key: str) -> None:
    """Write headers that were encrypted anew under a master key."""
    ids, headers = [each.id for each in fresh], [each.headers for each in fresh]
    await queries.replace_headers(connection, ids=ids, headers=headers, key=key)


def _endpoint(row: Row) -> Endpoint:
    return Endpoint(
        id=row["id"],
        tenant_id=row["tenant_id"],
        audience=EndpointAudience(row["audience"]),
        implicit=row["implicit"],
        url=row["url"],
        description=row["description"],
        events=tuple(row["events"]),
        metadata_filter=_decode_filter(row["metadata_filter"]),
        header_names=tuple(row["header_names"]),
        headers=row["headers"],
        headers_key=row["headers_key"],
        ed25519=row["ed25519"],
        rotation=row["rotation"],
        master_key=row["master_key"],
        previous_until=row["previous_until"] if row["has_previous"] else None,
        status=EndpointStatus(row["status"]),
        disabled_reason=row["disabled_reason"],
        failing_since=row["failing_since"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
