"""The step `store`: encode the pictures and put them into the bucket, one job at a time."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol
from uuid import UUID

from chassis.errors import StorageUnavailableError
from darkroom_contracts.api import JobInput, JobMetrics
from darkroom_contracts.objects import StoredOutput
from gpu_consumer.job import failures
from gpu_consumer.job.lease import Lease
from gpu_consumer.job.outcome import Discarded, Finished, Outcome, Succeeded
from gpu_consumer.job.receipts import receipt_of
from gpu_consumer.protocol import Picture, Ready


class StoresPictures(Protocol):
    """What storing needs of the pictures."""

    async def store(
        self, job_id: UUID, model: str, wanted: JobInput, pictures: tuple[Picture, ...], ready: Ready
    ) -> tuple[StoredOutput, ...]: ...


class LetsNextBegin(Protocol):
    """What storing needs of the GPU's usage."""

    async def let_next_begin(self, seconds: float) -> None: ...


class Storing:
    """Stores finished renders."""

    def __init__(self, pictures: StoresPictures, usage: LetsNextBegin, head_start_seconds: float) -> None:
        """`head_start_seconds`: how long at most a finished render waits for the next one to begin.

        Both need the processor and the broker, and the GPU waits for only one of them.
        """
        self._pictures = pictures
        self._usage = usage
        self._head_start_seconds = head_start_seconds
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for the job's turn to be stored, and hold it."""
        async with self._lock:
            await self._usage.let_next_begin(self._head_start_seconds)
            yield

    async def store(self, lease: Lease, finished: Finished) -> Outcome:
        """Store the pictures of a render, unless its job is not this worker's any more."""
        if not await lease.keep_rendered():
            return Discarded()
        wanted, ready, claimed = finished.wanted, finished.ready, lease.claimed
        started = time.perf_counter()
        try:
            outputs = await self._pictures.store(claimed.job_id, claimed.model, wanted, finished.pictures, ready)
        except StorageUnavailableError as error:
            return failures.storage_unavailable(error)
        store_ms = round((time.perf_counter() - started) * 1000, 1)
        times = JobMetrics(inference_ms=round(finished.rendered.inference_ms, 1), store_ms=store_ms)
        return Succeeded(outputs, receipt_of(ready, wanted, finished.rendered, outputs), times)
