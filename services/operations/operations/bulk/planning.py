"""Freeze the dead letters of a bulk replay, each with what a replay would do."""

from uuid import UUID

import structlog

from chassis.loops import Loop
from chassis.postgres import Connection, Database
from darkroom_contracts.api.dead_letters import DeadLetter
from operations.bulk import store
from operations.bulk.turns import take_turns
from operations.desk.scopes import TOO_OFTEN, walk
from operations.replays.edits import Bounds
from operations.replays.foresight import Prospect, foresee
from operations.replays.outcome import Verdict

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
        return await take_turns(planning, self._step)

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
        foreseen = await foresee(connection, step.ids, self._bounds, plan.edit)
        prospects = sorted([*foreseen, *map(_left_out, step.left_out)], key=lambda prospect: prospect.letter_id)
        if step.last is None:
            log.info("replay planned", replay_id=str(replay_id))
        return await store.add_items(connection, replay_id, prospects, step.last)


def _left_out(letter: DeadLetter) -> Prospect:
    """Return why a letter is not in a bulk replay that does not name it."""
    if letter.returns >= TOO_OFTEN:
        why = "Its job or delivery came back twice before. Name it by its id to replay it once more."
        return Prospect(letter.id, letter.job_id, Verdict.CAME_BACK, why)
    why = "Its job is unknown. Name the kind orphan, or its id, to make the job again."
    return Prospect(letter.id, letter.job_id, Verdict.ORPHAN, why)
