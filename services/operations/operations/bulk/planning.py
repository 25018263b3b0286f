"""Freeze the dead letters of a bulk replay, each with what a replay would do."""

from uuid import UUID

import structlog

from chassis.loops import Loop
from chassis.postgres import Connection, Database
from operations.bulk import store
from operations.desk.scopes import walk
from operations.replays.edits import Bounds
from operations.replays.foresight import foresee

log = structlog.get_logger()

CHUNK = 1000
"""Letters that a step looks at."""
AT_ONCE = 20
_FIRST = UUID(int=0)


class Planning(Loop):
    """Plan the replays that were asked for, a chunk of letters a transaction. Several processes may run it."""

    name = "replay-planning"
    interval = 0.5

    def __init__(self, database: Database, bounds: Bounds, chunk: int = CHUNK) -> None:
        super().__init__()
        self._database = database
        self._bounds = bounds
        self._chunk = chunk

    async def run_once(self) -> bool:
        async with self._database.connection() as connection:
            planning = await store.find_planning(connection, AT_ONCE)
        steps = [await self._step(replay_id) for replay_id in planning]
        return any(steps)

    async def _step(self, replay_id: UUID) -> bool:
        """Freeze the next letters. Return False if another process plans this replay, or it was canceled."""
        async with self._database.index_walk() as connection:
            return await store.lease(connection, replay_id) and await self._freeze(connection, replay_id)

    async def _freeze(self, connection: Connection, replay_id: UUID) -> bool:
        plan = await store.find_plan(connection, replay_id)
        if plan is None:
            return False
        # The replay's own id is the bound: letters that come later are not in it.
        step = await walk(connection, plan.scope, plan.planned_to or _FIRST, replay_id, self._chunk)
        prospects = await foresee(connection, step.ids, self._bounds, plan.edit)
        if step.last is None:
            log.info("replay planned", replay_id=str(replay_id))
        return await store.add_items(connection, replay_id, prospects, step.last)
