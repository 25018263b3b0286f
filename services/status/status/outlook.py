"""A waiting job's position in the queue and its estimated start."""

from bisect import bisect_right
from datetime import datetime, timedelta
from functools import partial

from chassis.jobs.row import JobRow
from chassis.jobs.view import Outlook
from status.sampled import Sampled
from status.store import EXACT_UP_TO, Mark, Pace, PlacedJob, Store


class Queues:
    """The models' queues, sampled on demand."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._marks: dict[str, Sampled[list[Mark]]] = {}
        self._paces: dict[str, Sampled[Pace | None]] = {}

    async def outlook(self, row: PlacedJob, now: datetime) -> Outlook:
        """Return the job's outlook. The position is exact up to EXACT_UP_TO and a few seconds old beyond."""
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
    """Return the place of the last mark that is not behind the job, or 0 if there is none."""
    passed = bisect_right(marks, (row.queued_at, row.id), key=lambda mark: (mark.queued_at, mark.id))
    return marks[passed - 1].place if passed else 0


def estimate_start(position: int, pace: Pace | None, not_before: datetime | None, now: datetime) -> datetime | None:
    """Return None if the pace is unknown. The jobs that are being rendered count as half done."""
    if pace is None:
        return None
    starts_at = now + timedelta(seconds=(position + 0.5) * pace.seconds / pace.workers)
    return max(starts_at, not_before) if not_before else starts_at
