"""The loops that remove groups whose letters are gone, and counts of hours that are no longer shown."""

from datetime import timedelta

from chassis.postgres import Connection, Database
from operations.groups import store
from operations.retention.pruning import PASS_SECONDS, Pruning, Retention
from operations.retention.records import FIRST_ID, Batch

KEEP_HOURS = timedelta(days=30)


class PruneGroups(Retention):
    """Remove groups without letters, unless a note says that more are expected."""

    name = "prune-groups"
    interval = PASS_SECONDS

    def __init__(self, database: Database) -> None:
        super().__init__(database, timedelta(0))  # how long letters are kept decides
        self._position = FIRST_ID

    async def remove(self) -> Batch:
        async with self._database.transaction() as connection:
            await store.wait_for_groups(connection)
            done, self._position = await store.prune_groups(connection, self._position, self.batch)
        if done.visited < self.batch:
            self._position = FIRST_ID
        return done


class PruneHours(Pruning):
    """Remove the counts of old hours."""

    name = "prune-hours"

    def __init__(self, database: Database) -> None:
        super().__init__(database, KEEP_HOURS)

    async def prune(self, connection: Connection) -> int:
        return await store.prune_hours(connection, self.batch, self._age)
