"""Read the audit log."""

from chassis.moments import EPOCH
from chassis.postgres import Database
from darkroom_contracts.api.audit import AuditList, AuditQuery
from operations.audit import store
from operations.audit.cursor import decode_position, encode_position
from operations.audit.records import NEWEST, Position


async def read_audit(database: Database, query: AuditQuery) -> AuditList:
    """Return a page of entries, the newest first. Raises MalformedCursorError."""
    before, since = _start(query), query.created_after or EPOCH
    async with database.index_walk() as connection:
        found = await store.walk(connection, query, before, since, query.limit + 1)
        page = await store.read_entries(connection, found[: query.limit])
    more = len(found) > len(page)
    return AuditList(page, encode_position(Position(page[-1].at, page[-1].id)) if more else None)


def _start(query: AuditQuery) -> Position:
    """Return the position from which a page walks back in time."""
    latest = NEWEST if query.created_before is None else Position(query.created_before, 0)
    return latest if query.cursor is None else min(latest, decode_position(query.cursor))
