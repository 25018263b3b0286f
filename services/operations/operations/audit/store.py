"""The append-only table `audit_log`."""

from typing import Any

import msgspec

from chassis.postgres import Connection, Row, load_queries
from darkroom_contracts.api.audit import AuditEntry, AuditQuery

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


async def read_entries(connection: Connection, query: AuditQuery, before: int, at_most: int) -> list[AuditEntry]:
    """Return the latest entries with an id below `before` that match the query, the newest first."""
    rows = queries.read_entries(
        connection,
        actor=query.actor,
        action=query.action,
        subject=query.subject,
        created_after=query.created_after,
        created_before=query.created_before,
        before=before,
        at_most=at_most,
    )
    return [_entry(row) async for row in rows]


def _entry(row: Row) -> AuditEntry:
    decoded = {name: row[name] and msgspec.json.decode(row[name]) for name in ("before", "after")}
    return AuditEntry(**{**row, **decoded})
