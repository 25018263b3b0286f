"""The tables `replays` and `replay_items`."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec

from chassis.postgres import Connection, Row, load_queries
from darkroom_contracts.api.dead_letters import LetterScope
from darkroom_contracts.api.replays import (
    BulkReplay,
    BulkReplayRequest,
    ItemCounts,
    ItemState,
    Ramp,
    ReplayEdit,
    ReplayItem,
    ReplayStatus,
)
from operations.bulk.records import Due, Followed, Handled, NextItem, Plan, Visited
from operations.replays.foresight import Prospect

queries = load_queries("operations.bulk")
_decode_scope = msgspec.json.Decoder(LetterScope).decode
_decode_edit = msgspec.json.Decoder(ReplayEdit | None).decode
_decode_verdicts = msgspec.json.Decoder(dict[str, int]).decode
_AS_THEY_ARE = (
    "id",
    "pace",
    "created_by",
    "reason",
    "created_at",
    "started_at",
    "finished_at",
    "paused_reason",
    "stage_began_at",
)


async def insert_replay(connection: Connection, request: BulkReplayRequest, actor: str) -> BulkReplay:
    """Insert a replay to be planned."""
    ramp = request.ramp
    row = await queries.insert_replay(
        connection,
        scope=request.scope,
        edit=request.edit,
        pace=request.pace,
        ramp=ramp and ramp.stages,
        stage_seconds=ramp and ramp.stage_seconds,
        created_by=actor,
        reason=request.reason,
    )
    return _replay(row)


async def find_replay(connection: Connection, replay_id: UUID) -> BulkReplay | None:
    """Return a replay, or None if it does not exist."""
    row = await queries.find_replay(connection, id=replay_id)
    return _replay(row) if row else None


async def find_plan(connection: Connection, replay_id: UUID) -> Plan | None:
    """Return what planning goes on with, or None unless the replay is being planned."""
    row = await queries.find_plan(connection, id=replay_id)
    return Plan(_decode_scope(row["scope"]), _edit(row), row["planned_to"]) if row else None


async def list_replays(
    connection: Connection, before: UUID, status: ReplayStatus | None, at_most: int
) -> list[BulkReplay]:
    """Return the replays before an id, the newest first."""
    rows = queries.list_replays(connection, before=before, status=status, at_most=at_most)
    return [_replay(row) async for row in rows]


async def list_items(
    connection: Connection, replay_id: UUID, after: int, state: ItemState | None, at_most: int
) -> list[ReplayItem]:
    """Return the items of a replay after a position."""
    if state is None:
        rows = queries.list_items(connection, id=replay_id, after=after, at_most=at_most)
    else:
        rows = queries.list_items_in(connection, id=replay_id, state=state, after=after, at_most=at_most)
    return [ReplayItem(**{**row, "state": ItemState(row["state"])}) async for row in rows]


async def start(connection: Connection, replay_id: UUID, count: int) -> BulkReplay | None:
    """Start a planned replay of `count` pending items. Return None if it is not planned, or of another number."""
    return _replay_or_none(await queries.start_replay(connection, id=replay_id, count=count))


async def pause(connection: Connection, replay_id: UUID, reason: str) -> BulkReplay | None:
    """Pause a running replay. Return None if it does not run."""
    return _replay_or_none(await queries.pause_replay(connection, id=replay_id, reason=reason))


async def resume(connection: Connection, replay_id: UUID) -> BulkReplay | None:
    """Resume a paused replay. Return None if it is not paused."""
    return _replay_or_none(await queries.resume_replay(connection, id=replay_id))


async def cancel(connection: Connection, replay_id: UUID) -> BulkReplay | None:
    """Cancel a replay. Return None if it has ended."""
    return _replay_or_none(await queries.cancel_replay(connection, id=replay_id))


async def lease(connection: Connection, replay_id: UUID) -> bool:
    """Lease a replay until the transaction ends. Return False if another transaction has it."""
    return bool(await queries.lease_replay(connection, id=replay_id))


async def find_planning(connection: Connection, at_most: int) -> list[UUID]:
    """Return replays that are being planned."""
    return [row["id"] async for row in queries.find_planning(connection, at_most=at_most)]


async def add_items(
    connection: Connection, replay_id: UUID, prospects: Sequence[Prospect], planned_to: UUID | None
) -> bool:
    """Add items. Without `planned_to` they are the last. Return False unless the replay is being planned."""
    added = await queries.add_items(
        connection,
        id=replay_id,
        letters=[each.letter_id for each in prospects],
        jobs=[each.job_id for each in prospects],
        verdicts=[each.verdict for each in prospects],
        errors=[each.refusal for each in prospects],
        counts=Counter(str(each.verdict) for each in prospects),
        planned_to=planned_to,
    )
    return bool(added)


async def find_due(connection: Connection, at_most: int) -> list[Due]:
    """Return the running replays with pending items, the most overdue first."""
    return [Due(**row) async for row in queries.find_due(connection, at_most=at_most)]


async def next_item(connection: Connection, replay_id: UUID, after: int) -> NextItem | None:
    """Return the next item of a replay, or None if it has none, does not run, or its pace does not allow it yet.

    All items up to the position `after` must have been handled.
    """
    row = await queries.next_item(connection, id=replay_id, after=after)
    return NextItem(**{**row, "edit": _edit(row)}) if row else None


async def mark_item(connection: Connection, replay_id: UUID, position: int, handled: Handled) -> bool:
    """Record the outcome of an item. Return False if its replay does not run any more: then roll back."""
    marked = await queries.mark_item(
        connection,
        id=replay_id,
        position=position,
        state=handled.state,
        generation=handled.generation,
        error=handled.error,
    )
    return bool(marked)


async def find_followed(connection: Connection, at_most: int) -> list[Followed]:
    """Return the replays whose items may end, or whose stage may."""
    return [Followed(**row) async for row in queries.find_followed(connection, at_most=at_most)]


async def follow_items(connection: Connection, replay_id: UUID, after: int, at_most: int) -> Visited:
    """Record the ends of replayed items after a position. A failure pauses a ramp."""
    return Visited(**await queries.follow_items(connection, id=replay_id, after=after, at_most=at_most))


async def finish(connection: Connection, replay_id: UUID) -> bool:
    """Finish a running replay whose items have all ended. Return False if it is not such a one."""
    return bool(await queries.finish_replay(connection, id=replay_id))


async def begin_stage(connection: Connection, replay_id: UUID, stage: int, allowed: int) -> bool:
    """Begin the stage after `stage`, unless fewer than `allowed` items have ended or one is under way."""
    return bool(await queries.begin_stage(connection, id=replay_id, stage=stage, allowed=allowed))


async def pause_overdue(connection: Connection, replay_id: UUID) -> bool:
    """Pause a ramp whose stage exceeds its time limit. Return False if it does not."""
    return bool(await queries.pause_overdue(connection, id=replay_id))


async def cancel_plans(connection: Connection, age: timedelta) -> None:
    """Cancel plans that nobody started."""
    await queries.cancel_plans(connection, age=age)


async def prune_items(connection: Connection, at_most: int, age: timedelta) -> int:
    """Remove items of a replay that ended long ago. Return how many."""
    return int(await queries.prune_items(connection, at_most=at_most, age=age))


async def prune_replays(connection: Connection, at_most: int, age: timedelta) -> int:
    """Remove replays that ended long ago and have no items. Return how many."""
    return int(await queries.prune_replays(connection, at_most=at_most, age=age))


def _replay_or_none(row: Row | None) -> BulkReplay | None:
    return _replay(row) if row else None


def _replay(row: Row) -> BulkReplay:
    values: dict[str, Any] = {column: row[column] for column in _AS_THEY_ARE}
    return BulkReplay(
        **values,
        status=ReplayStatus(row["status"]),
        scope=_decode_scope(row["scope"]),
        edit=_edit(row),
        ramp=None if row["ramp"] is None else Ramp(stages=tuple(row["ramp"]), stage_seconds=row["stage_seconds"]),
        stage=None if row["stage"] is None else row["stage"] + 1,
        items=ItemCounts(**{state: row[state] for state in ItemState}),
        verdicts=_decode_verdicts(row["verdicts"]),
    )


def _edit(row: Row) -> ReplayEdit | None:
    return _decode_edit(row["edit"]) if row["edit"] else None
