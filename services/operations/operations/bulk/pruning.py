"""Remove bulk replays by age."""

from chassis.postgres import Connection
from operations.bulk import store
from operations.retention.pruning import Pruning


class PruneReplays(Pruning):
    """Remove bulk replays that ended long ago, their items first."""

    name = "prune-replays"

    async def prune(self, connection: Connection) -> int:
        removed = await store.prune_items(connection, self.batch, self._age)
        return removed or await store.prune_replays(connection, self.batch, self._age)
