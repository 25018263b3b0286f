"""Follow what bulk replays replayed to its end: counts, stages of ramps, and the end of the replay."""

from uuid import UUID

import structlog

from chassis.loops import Loop
from chassis.postgres import Database
from operations.bulk import store
from operations.bulk.ramp import allowed
from operations.bulk.records import Followed

log = structlog.get_logger()

AT_ONCE = 100
CHUNK = 500
"""Items that a round looks at in each replay."""


class Following(Loop):
    """Record the ends of replayed jobs and deliveries. Several processes may run it.

    A ramp is paused by its first failure, and by a stage that exceeds its time limit. Its next stage begins when all of
    the one before have succeeded, or when an operator resumed the replay after they ended otherwise.
    """

    name = "replay-following"
    interval = 0.5

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database
        self._positions: dict[UUID, int] = {}
        """Where the walk along the items of a replay goes on."""

    async def run_once(self) -> bool:
        async with self._database.connection() as connection:
            followed = await store.find_followed(connection, AT_ONCE)
        self._positions = {each.id: self._positions.get(each.id, 0) for each in followed}
        for each in followed:
            await self._follow(each)
        return False

    async def _follow(self, replay: Followed) -> None:
        async with self._database.index_walk() as connection:
            visited = await store.follow_items(connection, replay.id, self._positions[replay.id], CHUNK)
            self._positions[replay.id] = visited.last if visited.items == CHUNK else 0
            if visited.failed and replay.ramp is not None:
                log.warning("ramp paused after a failure", replay_id=str(replay.id), failed=visited.failed)
            if await store.finish(connection, replay.id):
                log.info("replay finished", replay_id=str(replay.id))
            elif replay.ramp is not None and replay.stage is not None:
                await store.begin_stage(connection, replay.id, replay.stage, allowed(replay.ramp, replay.stage))
                if await store.pause_overdue(connection, replay.id):
                    log.warning("ramp paused after its stage's time limit", replay_id=str(replay.id))
