"""Remove bulk replays by age."""

from datetime import timedelta

from chassis.postgres import Connection
from operations.bulk import store
from operations.retention.pruning import Pruning

PLANS_LIVE = timedelta(days=7)
"""A plan that nobody starts is canceled after this time: its letters have changed since."""


class PruneReplays(Pruning):
    """Remove bulk replays that ended long ago, their items first. Plans that nobody started end here."""

    name = "prune-replays"

    async def prune(self, connection: Connection) -> int:
        await store.cancel_plans(connection, PLANS_LIVE)
        removed = await store.prune_items(connection, self.batch, self._age)
        return removed or await store.prune_replays(connection, self.batch, self._age)
