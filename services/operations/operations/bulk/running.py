"""Replay the frozen letters of running bulk replays."""

from uuid import UUID

import structlog

from chassis.errors import TransientDatabaseError
from chassis.loops import Loop
from chassis.postgres import Connection, Database
from darkroom_contracts.api.replays import ItemState
from operations.bulk import store
from operations.bulk.ramp import allowed
from operations.bulk.records import Due, Handled, NextItem
from operations.bulk.turns import take_turns
from operations.errors import UnknownLetterError
from operations.metrics import REPLAY_ITEMS
from operations.replays.edits import Bounds
from operations.replays.outcome import Replayed, ReplayRefusedError
from operations.replays.replay import replay_letter

log = structlog.get_logger()

AT_ONCE = 100
IDLE_SECONDS = 0.5
"""Between two looks for replays that were started or resumed."""


class _StoppedError(Exception):
    """The replay was paused or canceled while an item was handled. Its transaction is rolled back."""


class _RefusedError(Exception):
    """An item can't be replayed. Its transaction is rolled back, and another one records why."""

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(reason)
        self.position = position


class Running(Loop):
    """Replay an item of each replay that is due, in turn. Several processes may run it.

    An item's replay and its mark share a transaction with the step of the pace, and the replay is leased for it: a
    crash repeats nothing and leaves nothing out. A pause or a cancel never waits for an item: the item under way is
    rolled back unless it committed before.
    """

    name = "replay-running"
    interval = IDLE_SECONDS

    def __init__(self, database: Database, bounds: Bounds) -> None:
        super().__init__()
        self._database = database
        self._bounds = bounds
        self._handled: dict[UUID, int] = {}
        """Positions up to which the items of running replays are known to be handled."""

    async def run_once(self) -> bool:
        async with self._database.connection() as connection:
            running = await store.find_due(connection, AT_ONCE)
        self._handled = {each.id: self._handled.get(each.id, 0) for each in running}
        waits = [each.seconds for each in running if each.seconds > 0]
        self.interval = min([IDLE_SECONDS, *waits])
        return await take_turns([each for each in running if each.seconds <= 0], self._step)

    async def _step(self, due: Due) -> bool:
        """Handle the replay's next item. Return False if there is none, or another process handles it."""
        try:
            async with self._database.index_walk() as connection:
                handled = await self._handle(connection, due)
        except _StoppedError:
            return False
        except _RefusedError as refusal:
            handled = await self._refuse(due.id, refusal)
        if handled is not None:
            REPLAY_ITEMS.labels(handled.state).inc()
        return handled is not None

    async def _handle(self, connection: Connection, due: Due) -> Handled | None:
        """Replay and mark the next item. Raises _StoppedError and _RefusedError, which must roll it back."""
        item = await self._take(connection, due)
        if item is None:
            return None
        handled = await self._replay(connection, item)
        if not await store.mark_item(connection, due.id, item.position, handled):
            raise _StoppedError
        return handled

    async def _take(self, connection: Connection, due: Due) -> NextItem | None:
        if not await store.lease(connection, due.id):
            return None
        item = await store.next_item(connection, due.id, self._handled[due.id])
        self._handled[due.id] = item.position - 1 if item else 0
        if item is None:
            return None
        if item.ramp is not None and item.replayed >= allowed(item.ramp, item.stage or 0):
            return None
        return item

    async def _replay(self, connection: Connection, item: NextItem) -> Handled:
        """Replay an item's letter. Raises _RefusedError."""
        try:
            replayed = await replay_letter(connection, item.letter_id, self._bounds, item.edit)
        except (ReplayRefusedError, UnknownLetterError) as refused:
            raise _RefusedError(item.position, str(refused)) from refused
        except TransientDatabaseError:
            raise
        except Exception as error:  # one letter must not stop all that come after it
            log.exception("letter can't be replayed", letter_id=str(item.letter_id))
            raise _RefusedError(item.position, "An internal error; the log of operations has it.") from error
        generation = replayed.generation if isinstance(replayed, Replayed) else None
        return Handled(ItemState.REPLAYED, generation)

    async def _refuse(self, replay_id: UUID, refusal: _RefusedError) -> Handled | None:
        """Mark an item that was rolled back. Return None if another process handles it, or the replay stopped."""
        handled = Handled(ItemState.REFUSED, error=str(refusal))
        async with self._database.transaction() as connection:
            held = await store.lease(connection, replay_id)
            marked = held and await store.mark_item(connection, replay_id, refusal.position, handled)
        return handled if marked else None
