"""Read the audit log."""

from uuid import UUID

from chassis.cursor import MalformedCursorError, decode_cursor, encode_cursor
from chassis.postgres import Database
from darkroom_contracts.api.audit import AuditList, AuditQuery
from operations.audit import store
from operations.errors import InvalidRequestError

_NEWEST = (1 << 63) - 1


class WrongCursorError(InvalidRequestError):
    """The cursor is not one that the list returned."""


async def read_audit(database: Database, query: AuditQuery) -> AuditList:
    """Return a page of entries, the newest first. Raises WrongCursorError."""
    before = _position(query.cursor)
    async with database.connection() as connection:
        found = await store.read_entries(connection, query, before, query.limit + 1)
    page = found[: query.limit]
    return AuditList(page, encode_cursor(UUID(int=page[-1].id)) if len(found) > len(page) else None)


def _position(cursor: str | None) -> int:
    if cursor is None:
        return _NEWEST
    try:
        position = decode_cursor(cursor).int
    except MalformedCursorError:
        position = _NEWEST + 1
    if position > _NEWEST:
        raise WrongCursorError("The cursor is not one that this list returned. Send `next_cursor` unchanged.")
    return position
