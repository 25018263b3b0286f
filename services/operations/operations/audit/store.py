"""The append-only table `audit_log`."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, cast

import msgspec

from chassis.postgres import Connection, Row, load_queries
from darkroom_contracts.api.audit import AuditEntry, AuditQuery
from operations.audit.records import Position

queries = load_queries("operations.audit")


async def insert_entry(
    connection: Connection,
    actor: str,
    action: str,
    subject: str,
    *,
    reason: str | None,
    before: dict[str, Any] | None,
    after: dict[str, Any] | None,
) -> None:
    """Append an entry."""
    await queries.insert_entry(
        connection, actor=actor, action=action, subject=subject, reason=reason, before=before, after=after
    )


async def walk(connection: Connection, query: AuditQuery, before: Position, since: datetime, at_most: int) -> list[int]:
    """Return the ids of the latest entries before a position, but not before a time, that match the query."""
    window = {**before._asdict(), "since": since, "at_most": at_most}
    return [row["id"] async for row in _walk(connection, query, window)]


def _walk(connection: Connection, query: AuditQuery, window: dict[str, Any]) -> AsyncIterator[Row]:
    """Walk the index of the filter that usually leaves the fewest entries."""
    subject, actor, action = query.subject, query.actor, query.action
    if subject is not None:
        rows = queries.walk_subject(connection, subject=subject, actor=actor, action=action, **window)
    elif actor is not None:
        rows = queries.walk_actor(connection, actor=actor, action=action, **window)
    elif action is not None:
        rows = queries.walk_action(connection, action=action, **window)
    else:
        rows = queries.walk_all(connection, **window)
    return cast("AsyncIterator[Row]", rows)


async def read_entries(connection: Connection, ids: Sequence[int]) -> list[AuditEntry]:
    """Return entries, the newest first."""
    found = [_entry(row) async for row in queries.read_entries(connection, ids=ids)]
    return sorted(found, key=lambda entry: (entry.at, entry.id), reverse=True)


def _entry(row: Row) -> AuditEntry:
    decoded = {name: row[name] and msgspec.json.decode(row[name]) for name in ("before", "after")}
    return AuditEntry(**{**row, **decoded})
