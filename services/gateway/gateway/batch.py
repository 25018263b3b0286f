"""Group commit: submissions that arrive together share one statement, and so one commit.

A commit for each request would wait for the disk once per job.
"""

import time
from collections.abc import Sequence
from typing import Self, TypeAlias

import structlog

from chassis.batching import Batcher, Group
from chassis.errors import BadDataError, DatabaseUnavailableError, TransactionClashError
from chassis.jobs.row import UndecodableColumnError
from gateway import metrics
from gateway.store import JobStore
from gateway.submission import Accepted, EarlierJob, Outcome, Submission, accepted_job, replay

log = structlog.get_logger()

LARGEST_BATCH = 128
COMMITS_IN_FLIGHT = 2
MOST_WAITING = 4096
MOST_TRIES = 5

Entry: TypeAlias = Group[Submission, Outcome]
"""A submission that waits for its outcome."""


class CommitterFullError(Exception):
    """Too many submissions wait to be recorded for another to be answered in time."""

    def __init__(self) -> None:
        super().__init__("Too many jobs wait to be recorded.")


class CommitFailedError(Exception):
    """A submission clashed with other transactions each time that it was tried."""

    def __init__(self) -> None:
        super().__init__("The job could not be recorded.")


class Committer:
    """Records submissions in batches. Leaving its context answers every submission that was accepted for recording."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._batcher: Batcher[Submission, Outcome] = Batcher(
            self._record,
            largest=LARGEST_BATCH,
            in_flight=COMMITS_IN_FLIGHT,
            key=lambda submission: submission.id,
            singly_after=BadDataError,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._batcher.drain()

    async def submit(self, submission: Submission) -> Outcome:
        """Record a submission and return its outcome. Canceling the caller does not cancel the record.

        Raises CommitterFullError, CommitFailedError, BadDataError when Postgres refuses this submission,
        UndecodableColumnError when its key belongs to a job that this version cannot decode, and
        DatabaseUnavailableError; when that is in doubt, the job may have been recorded.
        """
        if self._batcher.waiting >= MOST_WAITING:
            raise CommitterFullError
        return await self._batcher.ask(submission)

    async def _record(self, batch: Sequence[Entry]) -> None:
        try:
            await self._repeat(batch)
        except BadDataError as error:
            if len(batch) == 1:
                log.warning("submission refused by the database", job_id=str(batch[0].item.id), error=str(error))
            raise
        except DatabaseUnavailableError as error:
            _fail(batch, error)
            # The others would only wait for the same timeout. Nothing of them was recorded.
            _fail(self._batcher.take(), DatabaseUnavailableError(str(error), in_doubt=False))
        except Exception as error:
            _fail(batch, error)

    async def _repeat(self, batch: Sequence[Entry]) -> None:
        for _ in range(MOST_TRIES):
            batch = await self._try(batch)
            if not batch:
                return
        raise CommitFailedError

    async def _try(self, batch: Sequence[Entry]) -> Sequence[Entry]:
        """Record a batch once. Return the entries to try again."""
        started = time.perf_counter()
        try:
            accepted = await self._store.insert([entry.item for entry in batch])
        except TransactionClashError:
            return batch
        metrics.BATCH_SIZE.observe(len(batch))
        metrics.COMMIT_SECONDS.observe(time.perf_counter() - started)
        conflicting = []
        for entry in batch:
            if acceptance := accepted.get(entry.item.id):
                entry.answer(Accepted(accepted_job(entry.item, acceptance)))
            else:
                conflicting.append(entry)
        return await self._replay(conflicting) if conflicting else []

    async def _replay(self, conflicting: list[Entry]) -> list[Entry]:
        """Answer the entries whose idempotency key is taken, in a statement that sees the job it was taken by.

        Return those whose key was pruned in between.
        """
        earlier = await self._store.find_by_keys([key for entry in conflicting if (key := entry.item.tenant_key)])
        again = []
        for entry in conflicting:
            key = entry.item.tenant_key
            assert key is not None
            if recorded := earlier.get(key):
                _answer(entry, recorded)
            else:
                again.append(entry)
        return again


def _answer(entry: Entry, recorded: EarlierJob) -> None:
    """Answer an entry whose key belongs to a job. It fails alone if that job cannot be decoded."""
    try:
        entry.answer(replay(entry.item, recorded))
    except UndecodableColumnError as error:
        entry.fail(error)


def _fail(batch: Sequence[Entry], error: Exception) -> None:
    if not batch:
        return
    log.warning("submissions failed", jobs=len(batch), error=repr(error))
    for entry in batch:
        entry.fail(error)
