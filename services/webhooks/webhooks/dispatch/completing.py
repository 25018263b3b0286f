"""Completing: the ends of attempts are recorded in batches."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import structlog
from msgspec.structs import replace

from chassis.backoff import Backoff, retry
from chassis.batching import Batcher, Group
from chassis.errors import BadDataError, TransientDatabaseError
from chassis.postgres import Connection, Database
from darkroom_contracts.states import DeliveryStatus
from webhooks.dispatch import letters, store
from webhooks.dispatch.failing import FailingEndpoints
from webhooks.dispatch.records import Completion, Ended

log = structlog.get_logger()

LARGEST_BATCH = 200
BATCHES_IN_FLIGHT = 2
BACKOFF = Backoff(first=0.1, longest=2.0)
TRIES = 300
"""Ten minutes. Deliveries in flight are bounded, and no process takes them over before Postgres has been back for as
long as a lease lasts."""


class Completer:
    """Records completions, again and again while Postgres is away. Each waits for its batch."""

    def __init__(self, database: Database, failing: FailingEndpoints | None = None) -> None:
        self._database = database
        self._failing = failing or FailingEndpoints()
        self._batches: Batcher[Completion, bool] = Batcher(
            self._record,
            largest=LARGEST_BATCH,
            in_flight=BATCHES_IN_FLIGHT,
            key=lambda completion: completion.token,
            singly_after=BadDataError,
        )

    async def complete(self, completion: Completion) -> bool:
        """Record a completion. Return False, with nothing recorded, if its lease was lost.

        Raises TransientDatabaseError when Postgres stayed away, and BadDataError when it refuses this completion.
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
        async with self._database.index_walk() as connection:
            completions = await _redirected(connection, completions)
            held = await store.complete(connection, completions)
            recorded = [each for each in completions if each.id in held]
            await _close_letters(connection, recorded, held)
            await self._failing.note(connection, recorded)
        return set(held)


async def _redirected(connection: Connection, completions: list[Completion]) -> list[Completion]:
    """Let a delivery whose receiver is gone go on to where its endpoint has moved in the meantime."""
    gone = [each.endpoint for each in completions if each.gone and not each.endpoint.implicit]
    moved = await store.find_moved(connection, gone) if gone else set()
    return [
        replace(each, status=DeliveryStatus.PENDING, pause=0.0, gone=False)
        if each.gone and (each.endpoint.id, each.endpoint.url) in moved
        else each
        for each in completions
    ]


async def _close_letters(connection: Connection, recorded: Sequence[Completion], held: Mapping[UUID, Ended]) -> None:
    """Write the letters of exhausted deliveries, and resolve those of deliveries that ended otherwise."""
    ended = [each for each in recorded if each.status is not DeliveryStatus.PENDING]
    exhausted = {each.id: each.error or "" for each in ended if each.status is DeliveryStatus.FAILED and not each.gone}
    await letters.bury_each(connection, exhausted)
    await letters.resolve(connection, [held[each.id] for each in ended if each.id not in exhausted])


def _report(error: Exception, pause: float) -> None:
    log.warning("webhook attempts can't be recorded", error=repr(error), retry_seconds=round(pause, 2))
