"""The statements of dispatch."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from uuid import UUID, uuid4

from chassis.postgres import Connection, Row, load_queries
from webhooks.dispatch.records import NO_TENANT, Completion, Delivery, Destination, Due, Endpoint, Share

queries = load_queries("webhooks.dispatch")


async def find_destinations(connection: Connection, after: tuple[UUID, str], at_most: int) -> list[Destination]:
    """Return the destinations with waiting deliveries that follow `after`, in order."""
    rows = queries.find_destinations(connection, after_endpoint=after[0], after_origin=after[1], at_most=at_most)
    return [
        Destination(
            row["endpoint_id"],
            row["origin"],
            row["tenant_id"] or NO_TENANT,
            row["due_at"],
            row["ready"],
            row["abandoned"],
        )
        async for row in rows
    ]


async def lock_due(connection: Connection, shares: Sequence[Share]) -> list[Due]:
    """Lock the deliveries that are due, within each destination's share, for the rest of the transaction."""
    rows = queries.lock_due(
        connection,
        endpoints=[share.destination.endpoint_id for share in shares],
        origins=[share.destination.origin for share in shares],
        counts=[share.at_most for share in shares],
    )
    return [_due(row) async for row in rows]


async def read_jobs(connection: Connection, deliveries: Sequence[UUID]) -> dict[UUID, bytes]:
    """Return the snapshots of the jobs of deliveries that are locked and have none themselves."""
    return {row["id"]: row["snapshot"] async for row in queries.read_jobs(connection, deliveries=deliveries)}


async def adopt_master_key(connection: Connection, endpoints: Sequence[UUID], key: str) -> None:
    """Record the master key of endpoints that have none."""
    await queries.adopt_master_key(connection, endpoints=endpoints, key=key)


async def begin_attempts(
    connection: Connection, due: Sequence[Due], bodies: Mapping[UUID, bytes], lease: timedelta
) -> list[Delivery]:
    """Lease locked deliveries and log their attempts. `bodies` has the body of each, which the first claim keeps."""
    tokens = {each.id: uuid4() for each in due}
    rows = queries.begin_attempts(
        connection,
        ids=list(tokens),
        tokens=list(tokens.values()),
        bodies=[None if each.body is not None else bodies[each.id] for each in due],
        lease=lease,
    )
    numbers = {row["delivery_id"]: row["number"] async for row in rows}
    return [
        Delivery(
            each.id,
            each.endpoint,
            each.url,
            each.origin,
            each.failures,
            bodies[each.id],
            numbers[each.id],
            tokens[each.id],
            each.created_at,
        )
        for each in due
    ]


async def refuse(connection: Connection, ids: Sequence[UUID], error: str) -> None:
    """End locked deliveries that can't be encoded, and log why."""
    await queries.refuse(connection, ids=ids, error=error)


async def complete(connection: Connection, completions: Sequence[Completion]) -> set[UUID]:
    """Record the ends of attempts. Return the ids of the deliveries that were still held."""
    return {row["id"] async for row in queries.complete(connection, completions=completions)}


async def reap(connection: Connection, at_most: int, most_failures: int) -> int:
    """Make deliveries whose lease expired due again. Return how many there were."""
    return int(await queries.reap(connection, at_most=at_most, most_failures=most_failures))


async def cancel_destination(connection: Connection, destination: Destination, at_most: int) -> int:
    """Cancel waiting deliveries of a destination. Return how many there were."""
    return int(
        await queries.cancel_destination(
            connection, endpoint_id=destination.endpoint_id, origin=destination.origin, at_most=at_most
        )
    )


async def is_first_start(connection: Connection) -> bool:
    """Return whether no dispatcher has started yet."""
    return bool(await queries.is_first_start(connection))


async def retire(connection: Connection, age: timedelta, at_most: int) -> int:
    """Retire deliveries that are older and were never sent. Return how many there were."""
    return int(await queries.retire(connection, age=age, at_most=at_most))


async def note_start(connection: Connection) -> None:
    """Record that a dispatcher has started."""
    await queries.note_start(connection)


async def sample(connection: Connection, at_most: int) -> tuple[int, int]:
    """Return how many deliveries wait, and how many of them are due, among the first `at_most`."""
    row = await queries.sample(connection, at_most=at_most)
    return row["waiting"], row["due"]


def _due(row: Row) -> Due:
    endpoint = Endpoint(
        row["endpoint_id"],
        row["tenant_id"] or NO_TENANT,
        row["implicit"],
        row["rotation"],
        row["has_previous_secret"],
        row["master_key"],
    )
    return Due(
        row["id"],
        endpoint,
        row["event"],
        row["url"],
        row["origin"],
        row["failures"],
        row["created_at"],
        row["snapshot"],
        row["body"],
    )
