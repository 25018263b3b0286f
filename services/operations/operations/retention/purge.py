"""The purge of jobs, and `purged_before`: an unknown job id that is older belonged to a purged job."""

from datetime import datetime, timedelta
from uuid import UUID

from chassis.postgres import Connection, Database
from operations.retention import store
from operations.retention.pruning import PASS_SECONDS, Retention
from operations.retention.records import FIRST_ID, Batch


class PurgeJobs(Retention):
    """Remove jobs that ended long ago and that nothing holds, with all rows that belong to them.

    A pass first advances `purged_before` and commits it. From then on a late message of a job that the pass removes
    restores nothing, and requests for its id are answered 410.
    """

    name = "purge-jobs"
    interval = PASS_SECONDS

    def __init__(self, database: Database, age: timedelta) -> None:
        super().__init__(database, age)
        self._position = self._end = FIRST_ID

    async def remove(self) -> Batch:
        if self._position == FIRST_ID:
            async with self._database.transaction() as connection:
                self._end = first_id_at(await store.advance_purge(connection, self._age))
        async with self._database.connection() as connection:
            done, self._position = await store.purge_jobs(connection, self._position, self._end, self.batch, self._age)
        if done.visited < self.batch:
            self._position = FIRST_ID
        return done


async def hold(connection: Connection) -> None:
    """Keep `purged_before` where it is until the caller's transaction ends.

    A transaction that records or replays an orphan calls this first, so that no purge overtakes it.
    """
    await store.hold_purge(connection)


def first_id_at(moment: datetime) -> UUID:
    """Return the lowest job id of a moment; the ids made before it are lower (UUIDv7)."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)
