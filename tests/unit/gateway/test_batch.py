"""The group commit's errors for submissions that were not recorded."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from chassis.errors import DatabaseUnavailableError
from gateway.batch import COMMITS_IN_FLIGHT, LARGEST_BATCH, Committer
from gateway.submission import Submission
from tests.integration.gateway.submissions import submission


class LostStore:
    """A stand-in for the store that loses the database's answers."""

    async def insert(self, submissions: Sequence[Submission]) -> Any:
        await asyncio.sleep(0)
        raise DatabaseUnavailableError("lost")


async def test_only_what_was_sent_is_in_doubt() -> None:
    """Submissions that waited behind a commit without an answer were never sent, and their errors say so."""
    async with Committer(LostStore()) as committer:  # type: ignore[arg-type]
        sent, waited = COMMITS_IN_FLIGHT * LARGEST_BATCH, 50
        posts = [asyncio.create_task(committer.submit(submission(uuid4()))) for _ in range(sent + waited)]
        results = await asyncio.gather(*posts, return_exceptions=True)
    doubts = [error.in_doubt for error in results if isinstance(error, DatabaseUnavailableError)]
    assert len(doubts) == sent + waited
    assert sum(doubts) == sent
