"""Read the audit log."""

from chassis.cursor import MalformedCursorError
from chassis.moments import EPOCH
from chassis.postgres import Database
from darkroom_contracts.api.audit import AuditList, AuditQuery
from operations.audit import store
from operations.audit.cursor import decode_position, encode_position
from operations.audit.records import NEWEST, Position
from operations.errors import InvalidRequestError


class WrongCursorError(InvalidRequestError):
    """The cursor is not one that the list returned."""


async def read_audit(database: Database, query: AuditQuery) -> AuditList:
    """Return a page of entries, the newest first. Raises WrongCursorError."""
    before, since = _start(query), query.created_after or EPOCH
    async with database.index_walk() as connection:
        found = await store.walk(connection, query, before, since, query.limit + 1)
        page = await store.read_entries(connection, found[: query.limit])
    more = len(found) > len(page)
    return AuditList(page, encode_position(Position(page[-1].at, page[-1].id)) if more else None)


def _start(query: AuditQuery) -> Position:
    """Return the position from which a page walks back in time."""
    latest = NEWEST if query.created_before is None else Position(query.created_before, 0)
    if query.cursor is None:
        return latest
    try:
        return min(latest, decode_position(query.cursor))
    except MalformedCursorError as error:
        raise WrongCursorError(
            "The cursor is not one that this list returned. Send `next_cursor` unchanged."
        ) from error
