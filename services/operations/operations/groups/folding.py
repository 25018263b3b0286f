"""Fold: move what letters changed into their groups, and alert operators to each new group."""

from chassis.loops import Loop
from chassis.postgres import Database
from operations.alerts.alerts import Alerts
from operations.alerts.records import GROUP_OPENED
from operations.groups import store
from operations.groups.records import Folded, FoldedGroup

BATCH = 5000


class FoldGroups(Loop):
    """Folds a batch of deltas in each round. Of several processes one folds at a time.

    A group, its alert and the removal of the deltas that led to it are one transaction, so that each group is made, and
    operators are alerted to it, once. The alert is resolved when none of the group's letters is open.
    """

    name = "fold-groups"
    interval = 0.5

    def __init__(self, database: Database, alerts: Alerts, batch: int = BATCH) -> None:
        super().__init__()
        self._database = database
        self._alerts = alerts
        self._batch = batch

    async def run_once(self) -> bool:
        async with self._database.index_walk() as connection:
            if not await store.lock_groups(connection):
                return False
            folded = await store.fold(connection, self._batch)
            for group in folded.made:
                await self._alerts.open(connection, GROUP_OPENED, str(group.id), _told(group))
            for group in folded.closed:
                await self._alerts.resolve(connection, GROUP_OPENED, str(group.id))
        return _more_may_wait(folded, self._batch)


def _told(group: FoldedGroup) -> dict[str, str | None]:
    return {"kind": group.kind, "model": group.model, "reason": group.reason, "message": group.message}


def _more_may_wait(folded: Folded, batch: int) -> bool:
    return folded.taken == batch
