"""The first start: what happened long before it is retired instead of sent."""

import structlog

from chassis.postgres import Database
from webhooks.dispatch import store
from webhooks.dispatch.schedule import LENGTH

log = structlog.get_logger()

BATCH = 500


async def retire_old_deliveries(database: Database) -> None:
    """Retire the deliveries that are older than the schedule, if no dispatcher has started before.

    A dispatcher that is interrupted here leaves the rest to the next one.
    """
    async with database.connection() as connection:
        if not await store.is_first_start(connection):
            return
        total = 0
        while retired := await store.retire(connection, LENGTH, BATCH):
            total += retired
        await store.note_start(connection)
    log.info("first dispatcher of webhooks started", retired_deliveries=total)
