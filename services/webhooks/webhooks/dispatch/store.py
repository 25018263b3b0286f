"""The statements of dispatch."""

from collections.abc import AsyncIterable, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from msgspec.structs import asdict

from chassis.postgres import Connection, Row, load_queries
from webhooks.dispatch.records import (
    NO_TENANT,
    Completion,
    Delivery,
    Destination,
    Due,
    Ended,
    Endpoint,
    EndpointAlarm,
    EndpointOutcome,
    Place,
    Share,
)

queries = load_queries("webhooks.dispatch")


async def find_destinations(
    connection: Connection, after: Place, at_most: int, master_keys: Sequence[str]
) -> list[Destination]:
    """Return the destinations with waiting deliveries that follow `after`, in order."""
    rows = queries.find_destinations(
        connection, after_endpoint=after[0], after_origin=after[1], at_most=at_most, master_keys=master_keys
    )
    return [_destination(row) async for row in rows]


async def find_recent(connection: Connection, seconds: float, at_most: int) -> list[Destination]:
    """Return the destinations of the due deliveries that were recorded in the last `seconds`."""
    return [_destination(row) async for row in queries.find_recent(connection, seconds=seconds, at_most=at_most)]


async def lock_due(connection: Connection, shares: Sequence[Share], master_keys: Sequence[str]) -> list[Due]:
    """Lock the deliveries that are due, within each destination's share, for the rest of the transaction.

    Those of endpoints that need another master key stay where they are.
    """
    rows = queries.lock_due(
        connection,
        endpoints=[share.destination.endpoint_id for share in shares],
        origins=[share.destination.recorded_origin for share in shares],
        counts=[share.at_most for share in shares],
        master_keys=master_keys,
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
        urls=[each.url for each in due],
        origins=[each.origin for each in due],
        bodies=[None if each.body is not None else bodies[each.id] for each in due],
        lease=lease,
    )
    numbers = {row["delivery_id"]: row["number"] async for row in rows}
    return [
        Delivery(
            each.id,
            each.endpoint,
            each.url,
            each.recorded_origin,
            each.origin,
            each.failures,
            bodies[each.id],
            numbers[each.id],
            tokens[each.id],
            each.created_at,
        )
        for each in due
    ]


async def refuse(connection: Connection, ids: Sequence[UUID], error: str) -> list[Ended]:
    """End locked deliveries that can't be encoded, and log why."""
    return await _ended(queries.refuse(connection, ids=ids, error=error))


async def complete(connection: Connection, completions: Sequence[Completion]) -> dict[UUID, Ended]:
    """Record the ends of attempts. Return the deliveries that were still held, whether they end or not."""
    records = [_record(each) for each in completions]
    return {each.id: each for each in await _ended(queries.complete(connection, completions=records))}


async def find_moved(connection: Connection, used: Sequence[Endpoint]) -> set[tuple[UUID, str]]:
    """Return ids and former URLs of the standing endpoints that have another URL by now."""
    rows = queries.find_moved(connection, endpoints=[each.id for each in used], urls=[each.url for each in used])
    return {(row["id"], row["url"]) async for row in rows}


async def bury(connection: Connection, messages: Mapping[UUID, str]) -> None:
    """Insert dead letters of deliveries that just ended, each with the reason."""
    await queries.bury(connection, ids=list(messages), messages=list(messages.values()))


async def resolve(connection: Connection, ids: Sequence[UUID]) -> None:
    """Resolve the dead letters of deliveries that were sent again and ended."""
    await queries.resolve(connection, ids=ids)


async def note_outcomes(
    connection: Connection, outcomes: Sequence[EndpointOutcome], warn_hours: int, disable_hours: int
) -> list[EndpointAlarm]:
    """Note since when standing endpoints fail, and disable those that did nothing else for too long.

    Return those that operators get an event about.
    """
    rows = queries.note_outcomes(connection, outcomes=outcomes, warn_hours=warn_hours, disable_hours=disable_hours)
    return [EndpointAlarm(row["id"], row["disabled"], row["reason"]) async for row in rows]


async def reap(connection: Connection, at_most: int, most_losses: int) -> tuple[int, list[Ended]]:
    """Make deliveries whose lease expired due again. Return how many there were, and those that end."""
    rows = [row async for row in queries.reap(connection, at_most=at_most, most_losses=most_losses)]
    return len(rows), [Ended(row["id"], row["dead_lettered"]) for row in rows if row["exhausted"]]


async def cancel_destination(connection: Connection, destination: Destination, at_most: int) -> list[Ended]:
    """Cancel waiting deliveries of a destination."""
    return await _ended(
        queries.cancel_destination(
            connection, endpoint_id=destination.endpoint_id, origin=destination.recorded_origin, at_most=at_most
        )
    )


async def give_up(connection: Connection, destination: Destination, age: timedelta, at_most: int) -> list[Ended]:
    """End due deliveries of a destination whose schedule began too long ago."""
    return await _ended(
        queries.give_up(
            connection,
            endpoint_id=destination.endpoint_id,
            origin=destination.recorded_origin,
            age=age,
            at_most=at_most,
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


async def _ended(rows: AsyncIterable[Row]) -> list[Ended]:
    return [Ended(row["id"], row["dead_lettered"]) async for row in rows]


def _record(completion: Completion) -> dict[str, Any]:
    """Return what complete() reads of a completion, which is not its endpoint."""
    values = asdict(completion)
    del values["endpoint"], values["gone"]
    return values


def _destination(row: Row) -> Destination:
    return Destination(
        row["endpoint_id"],
        row["recorded_origin"],
        row["origin"],
        row["tenant_id"] or NO_TENANT,
        row["due_at"],
        row["ready"],
        row["abandoned"],
        row["unsignable"],
        row["failing"],
    )


def _due(row: Row) -> Due:
    endpoint = Endpoint(
        id=row["endpoint_id"],
        tenant_id=row["tenant_id"] or NO_TENANT,
        implicit=row["implicit"],
        url=None if row["implicit"] else row["url"],
        rotation=row["rotation"],
        master_key=row["master_key"],
        previous_master_key=row["previous_master_key"],
        ed25519=row["ed25519"],
        headers=row["headers"],
        headers_key=row["headers_key"],
        failing=row["failing"],
    )
    return Due(
        row["id"],
        endpoint,
        row["event"],
        row["url"],
        row["recorded_origin"],
        row["origin"],
        row["failures"],
        row["created_at"],
        row["snapshot"],
        row["body"],
    )
