"""The table `alerts`, and the conditions that lead to its rows."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from chassis.postgres import Connection, load_queries
from operations.alerts.records import OUTBOX_STUCK, QUEUE_STALLED, WORKER_LOST, Condition

queries = load_queries("operations.alerts")
_decode_data = msgspec.json.Decoder(dict[str, Any]).decode

OLDEST_MESSAGES = 1000
"""How many rows of the outbox are looked at for stuck ones."""


async def open_alert(connection: Connection, kind: str, subject: str, data: dict[str, Any]) -> datetime | None:
    """Insert an alert. Return when it was opened, or None if one of its kind and subject is open."""
    opened_at: datetime | None = await queries.open_alert(connection, kind=kind, subject=subject, data=data)
    return opened_at


async def resolve_alert(
    connection: Connection, kind: str, subject: str
) -> tuple[dict[str, Any], datetime, datetime] | None:
    """Resolve the open alert. Return its data and when it was opened and resolved, or None if none is open."""
    row = await queries.resolve_alert(connection, kind=kind, subject=subject)
    return (_decode_data(row["data"]), row["opened_at"], row["resolved_at"]) if row else None


async def tell_operators(connection: Connection, event: str, data: dict[str, Any]) -> None:
    """Record a delivery for each operators' endpoint that receives the event."""
    await queries.tell_operators(connection, event=event, data=data)


async def list_open(connection: Connection, kinds: Sequence[str], at_most: int) -> list[tuple[str, str]]:
    """Return kind and subject of the open alerts of these kinds."""
    return [(row["kind"], row["subject"]) async for row in queries.list_open(connection, kinds=kinds, at_most=at_most)]


async def count_open(connection: Connection, kinds: Sequence[str], at_most: int) -> dict[str, int]:
    """Count the open alerts of each kind, up to `at_most`."""
    return {row["kind"]: row["count"] async for row in queries.count_open(connection, kinds=kinds, at_most=at_most)}


async def find_stalled(connection: Connection, seconds: float) -> list[Condition]:
    """Return the models whose messages wait while no worker takes one."""
    return [
        Condition(QUEUE_STALLED, row["model"], "", {"waiting_since": row["waiting_since"], "workers": row["workers"]})
        async for row in queries.find_stalled(connection, stalled=seconds)
    ]


async def find_lost(connection: Connection, seconds: float) -> list[Condition]:
    """Return the workers that stopped sending heartbeats and did not come back."""
    return [
        Condition(WORKER_LOST, row["worker"], row["session"], _decode_data(row["data"]))
        async for row in queries.find_lost(connection, lost=seconds)
    ]


async def find_stuck(connection: Connection, seconds: float) -> list[Condition]:
    """Return the destinations whose messages wait to be published."""
    return [
        Condition(OUTBOX_STUCK, row["destination"], str(row["oldest"]), {"waiting_since": row["waiting_since"]})
        async for row in queries.find_stuck(connection, stuck=seconds, at_most=OLDEST_MESSAGES)
    ]
