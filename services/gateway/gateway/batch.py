"""Group commit: submissions that arrive together share one statement, and so one commit.

There is no artificial delay. While the commits in flight are on their way, arrivals gather; whichever commit ends
first takes all of them as the next batch. A commit for each post would wait for the disk once per job.
"""

import asyncio
import contextvars
import time
from collections import deque
from collections.abc import Sequence
from typing import Self

import structlog

from chassis.postgres import BadDataError, DatabaseUnavailableError, TransactionClashError
from gateway import metrics
from gateway.store import JobStore
from gateway.submission import Accepted, Outcome, Submission, accepted_job, replay

log = structlog.get_logger()

LARGEST_BATCH = 128
COMMITS_IN_FLIGHT = 2
MOST_WAITING = 4096
MOST_TRIES = 5


class CommitterFullError(Exception):
    """More submissions wait to be recorded than can be answered in time."""

    def __init__(self) -> None:
        super().__init__("Too many jobs wait to be recorded.")


class CommitFailedError(Exception):
    """A submission got in others' way each time that it was tried."""

    def __init__(self) -> None:
        super().__init__("The job could not be recorded.")


class _Entry:
    """A submission that waits for its outcome."""

    def __init__(self, submission: Submission) -> None:
        self.submission = submission
        self.outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def settle(self, outcome: Outcome) -> None:
        if not self.outcome.done():  # its client may be gone; the job stays
            self.outcome.set_result(outcome)

    def fail(self, error: Exception) -> None:
        if not self.outcome.done():
            self.outcome.set_exception(error)


class Committer:
    """Records submissions in batches. Leaving its context answers everything that was taken in."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._waiting: deque[_Entry] = deque()
        self._workers: set[asyncio.Task[None]] = set()
        self._idle = COMMITS_IN_FLIGHT
        self._context = contextvars.copy_context()  # what a worker logs is no single request's

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        while self._workers:
            await asyncio.wait(self._workers)

    async def submit(self, submission: Submission) -> Outcome:
        """Record a submission and tell what became of it. Canceling the caller does not cancel the record.

        Raises CommitterFullError, CommitFailedError, BadDataError when Postgres refuses this very submission, and
        DatabaseUnavailableError; when that is in doubt, the job may have been recorded all the same.
        """
        if len(self._waiting) >= MOST_WAITING:
            raise CommitterFullError
        entry = _Entry(submission)
        self._waiting.append(entry)
        if self._idle:
            self._idle -= 1
            worker = asyncio.create_task(self._work(), context=self._context.copy())
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)
        return await entry.outcome

    async def _work(self) -> None:
        while self._waiting:
            await self._record(self._take(LARGEST_BATCH))
        # Here, not when the task is done: a submission may come in between, and nobody would take it.
        self._idle += 1

    def _take(self, at_most: int) -> list[_Entry]:
        return [self._waiting.popleft() for _ in range(min(at_most, len(self._waiting)))]

    async def _record(self, batch: Sequence[_Entry]) -> None:
        try:
            await self._insist(batch)
        except BadDataError as error:
            await self._record_singly(batch, error)
        except DatabaseUnavailableError as error:
            self._fail(batch, error)
            # Whoever waits would only wait out the same timeout; those were never sent.
            self._fail(self._take(len(self._waiting)), DatabaseUnavailableError(str(error), in_doubt=False))
        except Exception as error:
            self._fail(batch, error)

    def _fail(self, batch: Sequence[_Entry], error: Exception) -> None:
        if not batch:
            return
        log.warning("submissions failed", jobs=len(batch), error=repr(error))
        for entry in batch:
            entry.fail(error)

    async def _insist(self, batch: Sequence[_Entry]) -> None:
        for _ in range(MOST_TRIES):
            batch = await self._try(batch)
            if not batch:
                return
        raise CommitFailedError

    async def _record_singly(self, batch: Sequence[_Entry], error: BadDataError) -> None:
        """Find the bad one, so that it fails alone."""
        if len(batch) == 1:
            log.warning("submission refused by the database", job_id=str(batch[0].submission.id), error=str(error))
            batch[0].fail(error)
            return
        for entry in batch:
            await self._record([entry])

    async def _try(self, batch: Sequence[_Entry]) -> Sequence[_Entry]:
        """Record a batch once. Returns the entries to try again."""
        started = time.perf_counter()
        try:
            accepted = await self._store.insert([entry.submission for entry in batch])
        except TransactionClashError:
            return batch
        metrics.BATCH_SIZE.observe(len(batch))
        metrics.COMMIT_SECONDS.observe(time.perf_counter() - started)
        conflicting = []
        for entry in batch:
            if acceptance := accepted.get(entry.submission.id):
                entry.settle(Accepted(accepted_job(entry.submission, acceptance)))
            else:
                conflicting.append(entry)
        return await self._replay(conflicting) if conflicting else []

    async def _replay(self, conflicting: list[_Entry]) -> list[_Entry]:
        """Answer the entries whose idempotency key is taken, in a statement that sees who took it.

        Returns those whose key was pruned in between.
        """
        earlier = await self._store.find_by_keys([key for entry in conflicting if (key := entry.submission.tenant_key)])
        again = []
        for entry in conflicting:
            key = entry.submission.tenant_key
            assert key is not None
            if recorded := earlier.get(key):
                entry.settle(replay(entry.submission, recorded))
            else:
                again.append(entry)
        return again
