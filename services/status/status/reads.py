"""Concurrent reads share a query: under load a round trip carries many jobs, else one, and it waits for no other."""

import asyncio
from collections.abc import Iterator
from uuid import UUID

from status.store import JobRow, Store

MOST_TOGETHER = 100
"""Ids in one query; bounds how long any of them waits for the others."""

Found = asyncio.Future[JobRow | None]


class JobReads:
    """One query at a time; whoever asks while it runs goes with the next."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: dict[UUID, list[Found]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def find(self, job_id: UUID) -> JobRow | None:
        """The job as it stands after this call: a query under way is never joined. Raises DatabaseUnavailableError."""
        found: Found = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(job_id, []).append(found)
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_waiting())
        return await found

    async def _read_waiting(self) -> None:
        while self._waiting:
            ids = list(self._waiting)[:MOST_TOGETHER]
            await self._read({job_id: self._waiting.pop(job_id) for job_id in ids})
        self._reading = None

    async def _read(self, batch: dict[UUID, list[Found]]) -> None:
        waiters = [(job_id, found) for job_id, group in batch.items() for found in group]
        try:
            rows = await self._store.find_jobs(list(batch))
        except Exception as error:
            for _, found in _not_canceled(waiters):
                found.set_exception(error)
        else:
            for job_id, found in _not_canceled(waiters):
                found.set_result(rows.get(job_id))


def _not_canceled(waiters: list[tuple[UUID, Found]]) -> Iterator[tuple[UUID, Found]]:
    return (waiter for waiter in waiters if not waiter[1].done())
