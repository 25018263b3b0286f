"""Where a waiting job stands, and when its turn may come."""

from bisect import bisect_right
from datetime import datetime, timedelta
from functools import partial

import msgspec

from status.sampled import Sampled
from status.store import EXACT_UP_TO, JobRow, Mark, Pace, Store


class Outlook(msgspec.Struct, frozen=True):
    """What lies before a job; both null unless it waits."""

    position: int | None = None
    estimated_start_at: datetime | None = None


class Queues:
    """The models' queues, sampled when somebody asks."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._marks: dict[str, Sampled[list[Mark]]] = {}
        self._paces: dict[str, Sampled[Pace | None]] = {}

    async def outlook(self, row: JobRow, now: datetime) -> Outlook:
        """The position is exact up to EXACT_UP_TO and a few seconds old beyond."""
        if row.ahead is None:
            return Outlook()
        position = row.ahead
        if position > EXACT_UP_TO:
            position = max(position, await self._sampled_place(row))
        return Outlook(position, estimate_start(position, await self._pace(row.model), row.next_attempt_at, now))

    async def _sampled_place(self, row: JobRow) -> int:
        if row.model not in self._marks:
            self._marks[row.model] = Sampled(partial(self._store.sample_queue, row.model))
        return place_among(await self._marks[row.model].get() or [], row)

    async def _pace(self, model: str) -> Pace | None:
        if model not in self._paces:
            self._paces[model] = Sampled(partial(self._store.measure_pace, model))
        return await self._paces[model].get()


def place_among(marks: list[Mark], row: JobRow) -> int:
    """The place of the last mark that is not behind the job; 0 without any."""
    passed = bisect_right(marks, (row.queued_at, row.id), key=lambda mark: (mark.queued_at, mark.id))
    return marks[passed - 1].place if passed else 0


def estimate_start(position: int, pace: Pace | None, not_before: datetime | None, now: datetime) -> datetime | None:
    """Null when the pace is unknown. The jobs now rendering are taken to be half done."""
    if pace is None:
        return None
    starts_at = now + timedelta(seconds=(position + 0.5) * pace.seconds / pace.workers)
    return max(starts_at, not_before) if not_before else starts_at
