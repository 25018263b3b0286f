"""Completing: the ends of attempts are recorded in batches."""

from uuid import UUID

import structlog

from chassis.backoff import Backoff, retry
from chassis.batching import Batcher, Group
from chassis.errors import TransientDatabaseError
from chassis.postgres import Database
from webhooks.dispatch import store
from webhooks.dispatch.records import Completion

log = structlog.get_logger()

LARGEST_BATCH = 200
BATCHES_IN_FLIGHT = 2
BACKOFF = Backoff(first=0.1, longest=2.0)
TRIES = 30
"""About as long as a lease lasts; after that another process repeats the attempt."""


class Completer:
    """Records completions, again and again while Postgres is away. Each waits for its batch."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._batches: Batcher[Completion, bool] = Batcher(
            self._record, largest=LARGEST_BATCH, in_flight=BATCHES_IN_FLIGHT, key=lambda completion: completion.token
        )

    async def complete(self, completion: Completion) -> bool:
        """Record a completion. Return False, with nothing recorded, if its lease was lost.

        Raises TransientDatabaseError when Postgres stayed away.
        """
        return await self._batches.ask(completion)

    async def _record(self, groups: list[Group[Completion, bool]]) -> None:
        held = await retry(
            lambda: self._complete([group.item for group in groups]),
            on=TransientDatabaseError,
            backoff=BACKOFF,
            report=_report,
            tries=TRIES,
        )
        for group in groups:
            group.answer(group.item.id in held)

    async def _complete(self, completions: list[Completion]) -> set[UUID]:
        async with self._database.connection() as connection:
            return await store.complete(connection, completions)


def _report(error: Exception, pause: float) -> None:
    log.warning("webhook attempts can't be recorded", error=repr(error), retry_seconds=round(pause, 2))
