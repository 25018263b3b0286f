"""Bulk replays as operators plan, see and steer them."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias
from uuid import UUID

import msgspec

from chassis.cursor import encode_cursor, position
from chassis.postgres import Connection, Database
from darkroom_contracts.api.replays import (
    BulkReplay,
    BulkReplayList,
    BulkReplayQuery,
    BulkReplayRequest,
    ReplayItemList,
    ReplayItemQuery,
    ReplayStatus,
)
from operations.audit import log as audit
from operations.bulk import store
from operations.errors import ConflictError, CountDiffersError, InvalidRequestError, NotFoundError

_WITHOUT_REASON = "An operator paused it."

_Change: TypeAlias = Callable[[Connection], Awaitable[BulkReplay | None]]


class UnknownReplayError(NotFoundError):
    """The bulk replay does not exist."""

    def __init__(self, replay_id: UUID) -> None:
        super().__init__(f"There is no bulk replay {replay_id}; the list of replays shows all.")


class Control:
    """The use cases of bulk replays. All raise UnknownReplayError, and those that change one ConflictError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def plan(self, actor: str, request: BulkReplayRequest) -> BulkReplay:
        """Ask for a plan of the replay. Raises InvalidRequestError."""
        _check(request)
        async with self._database.transaction() as connection:
            replay = await store.insert_replay(connection, request, actor)
            after = msgspec.to_builtins(request, str_keys=True)
            await audit.record(
                connection, actor, audit.Action.CREATE_REPLAY, replay.id, reason=request.reason, after=after
            )
        return replay

    async def find(self, replay_id: UUID) -> BulkReplay:
        """Return a replay."""
        async with self._database.connection() as connection:
            return await _found(connection, replay_id)

    async def page(self, query: BulkReplayQuery) -> BulkReplayList:
        """Return a page of replays. Raises MalformedCursorError."""
        before = position(query.cursor)
        async with self._database.connection() as connection:
            replays = await store.list_replays(connection, before, query.status, query.limit)
        return BulkReplayList(replays, encode_cursor(replays[-1].id) if len(replays) == query.limit else None)

    async def items(self, replay_id: UUID, query: ReplayItemQuery) -> ReplayItemList:
        """Return a page of a replay's dead letters."""
        async with self._database.connection() as connection:
            await _found(connection, replay_id)
            items = await store.list_items(connection, replay_id, query.after, query.state, query.limit)
        return ReplayItemList(items, items[-1].position if len(items) == query.limit else None)

    async def start(self, actor: str, replay_id: UUID, count: int) -> BulkReplay:
        """Start a planned replay, if exactly `count` of its dead letters can be replayed."""

        def change(connection: Connection) -> Awaitable[BulkReplay | None]:
            return store.start(connection, replay_id, count)

        return await self._act(actor, audit.Action.START_REPLAY, replay_id, change, after={"count": count})

    async def pause(self, actor: str, replay_id: UUID, reason: str | None) -> BulkReplay:
        """Pause a running replay. A paused one stays as it is."""

        def change(connection: Connection) -> Awaitable[BulkReplay | None]:
            return store.pause(connection, replay_id, reason or _WITHOUT_REASON)

        return await self._act(actor, audit.Action.PAUSE_REPLAY, replay_id, change, reason, ReplayStatus.PAUSED)

    async def resume(self, actor: str, replay_id: UUID, reason: str | None) -> BulkReplay:
        """Resume a paused replay. A running one stays as it is."""

        def change(connection: Connection) -> Awaitable[BulkReplay | None]:
            return store.resume(connection, replay_id)

        return await self._act(actor, audit.Action.RESUME_REPLAY, replay_id, change, reason, ReplayStatus.RUNNING)

    async def cancel(self, actor: str, replay_id: UUID, reason: str | None) -> BulkReplay:
        """Cancel a replay. A canceled one stays as it is."""

        def change(connection: Connection) -> Awaitable[BulkReplay | None]:
            return store.cancel(connection, replay_id)

        return await self._act(actor, audit.Action.CANCEL_REPLAY, replay_id, change, reason, ReplayStatus.CANCELED)

    async def _act(
        self,
        actor: str,
        action: audit.Action,
        replay_id: UUID,
        change: _Change,
        reason: str | None = None,
        done: ReplayStatus | None = None,
        after: dict[str, Any] | None = None,
    ) -> BulkReplay:
        """Change a replay and record who did it, unless it has the status `done`."""
        async with self._database.transaction() as connection:
            changed = await change(connection)
            if changed is not None:
                await audit.record(connection, actor, action, replay_id, reason=reason, after=after)
                return changed
            unchanged = await _found(connection, replay_id)
        if unchanged.status is done:
            return unchanged
        raise _refusal(action, unchanged)


async def _found(connection: Connection, replay_id: UUID) -> BulkReplay:
    replay = await store.find_replay(connection, replay_id)
    if replay is None:
        raise UnknownReplayError(replay_id)
    return replay


def _check(request: BulkReplayRequest) -> None:
    if request.pace is not None and request.ramp is not None:
        raise InvalidRequestError("A replay has a pace or a ramp, not both. Leave one out.")
    if not any(getattr(request.scope, field) is not None for field in request.scope.__struct_fields__):
        raise InvalidRequestError("The scope is empty. Name dead letters by ids, a group, or another filter.")


def _refusal(action: audit.Action, replay: BulkReplay) -> ConflictError:
    if action is audit.Action.START_REPLAY and replay.status is ReplayStatus.PLANNED:
        return CountDiffersError(f"The replay is of {replay.items.pending} dead letters. Confirm that number.")
    return ConflictError(f"The replay is {replay.status}, so it can't be {_PARTICIPLES[action]}.")


_PARTICIPLES = {
    audit.Action.START_REPLAY: "started",
    audit.Action.PAUSE_REPLAY: "paused",
    audit.Action.RESUME_REPLAY: "resumed",
    audit.Action.CANCEL_REPLAY: "canceled",
}
