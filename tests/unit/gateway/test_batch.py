"""The group commit's errors for submissions that were not recorded."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from chassis.errors import BadDataError, DatabaseUnavailableError
from gateway.batch import COMMITS_IN_FLIGHT, LARGEST_BATCH, Committer
from gateway.submission import Submission
from tests.integration.gateway.submissions import submission


class LostStore:
    """A stand-in for the store that loses the database's answers, by choice after it refused batches."""

    def __init__(self, *, refuses_batches: bool = False) -> None:
        self._refuses_batches = refuses_batches

    async def insert(self, submissions: Sequence[Submission]) -> Any:
        await asyncio.sleep(0)
        if self._refuses_batches and len(submissions) > 1:
            raise BadDataError("refused")
        raise DatabaseUnavailableError("lost")


async def doubts(store: LostStore, posts: int) -> list[bool]:
    """Return for each of many submissions whether the database may have recorded it."""
    async with Committer(store) as committer:  # type: ignore[arg-type]
        posted = [asyncio.create_task(committer.submit(submission(uuid4()))) for _ in range(posts)]
        results = await asyncio.gather(*posted, return_exceptions=True)
    return [error.in_doubt for error in results if isinstance(error, DatabaseUnavailableError)]


async def test_only_what_was_sent_is_in_doubt() -> None:
    """Submissions that waited behind a commit without an answer were never sent, and their errors say so."""
    sent, waited = COMMITS_IN_FLIGHT * LARGEST_BATCH, 50
    in_doubt = await doubts(LostStore(), sent + waited)
    assert len(in_doubt) == sent + waited
    assert sum(in_doubt) == sent


async def test_an_outage_ends_the_recording_one_by_one() -> None:
    """The submissions of a refused batch do not each wait for the same timeout, and those left are not in doubt."""
    in_doubt = await doubts(LostStore(refuses_batches=True), LARGEST_BATCH)
    assert len(in_doubt) == LARGEST_BATCH
    assert 1 <= sum(in_doubt) <= COMMITS_IN_FLIGHT
