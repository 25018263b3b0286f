"""Reading groups: pages of them, and one with its suspects."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from chassis.postgres import Database
from darkroom_contracts.api.dead_letter_groups import (
    DeadLetterGroup,
    DeadLetterGroupDetail,
    DeadLetterGroupList,
    DeadLetterGroupQuery,
)
from operations.errors import NotFoundError
from operations.groups import store
from operations.groups.cursor import decode_position, encode_position
from operations.groups.records import FIRST, FIRST_CLOSED, Position
from operations.groups.suspects import find_suspects

LOOKED_AT = 1000
"""Most groups that a page looks at to find those that match a filter without an index."""


class UnknownGroupError(NotFoundError):
    """The group does not exist."""

    def __init__(self, group_id: UUID) -> None:
        super().__init__(
            f"There is no group {group_id} of dead letters; GET /v1/operations/dead-letter-groups lists all."
        )


class Groups:
    """The use cases of `list_groups` and `get_group`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, query: DeadLetterGroupQuery) -> DeadLetterGroupList:
        """Return a page of groups. The first one has all new groups, also those that are not folded yet.

        Raises MalformedCursorError.
        """
        after, at_most = _start(query), _looks_at(query)
        async with self._database.index_walk() as connection:
            seen = await store.walk_groups(connection, after, only_open=query.status == "open", at_most=at_most)
            found = await store.read_groups(
                connection,
                [position.id for position in seen],
                with_pending=query.cursor is None,
                status=query.status,
                kind=query.kind,
                model=query.model,
                text=query.text,
                at_most=query.limit,
            )
        groups = [group for group, _ in found]
        as_of = found[0][1] if found else datetime.now(UTC)
        last = _last(after, seen, groups, query.limit)
        more = last != (seen[-1] if seen else after) or len(seen) == at_most
        return DeadLetterGroupList(groups, as_of, encode_position(last) if more else None)

    async def find(self, group_id: UUID) -> DeadLetterGroupDetail:
        """Return a group with its suspects. Raises UnknownGroupError."""
        async with self._database.connection() as connection:
            found = await store.read_groups(connection, [group_id])
            if not found:
                raise UnknownGroupError(group_id)
            group, as_of = found[0]
            suspects = await find_suspects(connection, group)
        return DeadLetterGroupDetail(**msgspec.structs.asdict(group), **msgspec.structs.asdict(suspects), as_of=as_of)


def _start(query: DeadLetterGroupQuery) -> Position:
    first = FIRST_CLOSED if query.status == "closed" else FIRST
    return first if query.cursor is None else decode_position(query.cursor)


def _looks_at(query: DeadLetterGroupQuery) -> int:
    """Return how many groups a page looks at. Where all match, one more than it shows says whether more follow."""
    filtered = query.kind or query.model or query.text
    return LOOKED_AT if filtered else query.limit + 1


def _last(after: Position, seen: Sequence[Position], shown: Sequence[DeadLetterGroup], limit: int) -> Position:
    """Return the position at which a page ends that begins after `after` and looked at `seen`."""
    if len(shown) < limit:
        return seen[-1] if seen else after
    places = {position.id: position for position in seen}
    return next((places[group.id] for group in reversed(shown) if group.id in places), after)
