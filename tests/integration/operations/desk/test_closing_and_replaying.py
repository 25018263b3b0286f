"""Discards of webhooks' letters, and replays of the same at once: both lock a delivery before its letter."""

import asyncio
from itertools import chain
from uuid import UUID

import pytest

from chassis.postgres import Database
from darkroom_contracts.api.dead_letters import BulkDiscardReply, BulkDiscardRequest, DeadLetter, LetterScope
from darkroom_contracts.models import Catalogue
from darkroom_contracts.states import LetterKind
from operations.desk.closing import Closing
from operations.errors import ConflictError, CountDiffersError
from operations.replays.outcome import Redelivered, ReplayRefusedError
from operations.replays.replay import replay
from tests.integration.operations.jobs import Jobs

WHY = "nobody waits for them"
ROUNDS = 10
FAIL_AGAIN = """
    WITH failed AS (UPDATE webhook_deliveries SET status = 'failed', next_attempt_at = NULL, finished_at = now())
    UPDATE dead_letters SET status = 'open', resolved_at = NULL
"""


@pytest.fixture
async def webhooks(jobs: Jobs) -> list[UUID]:
    """Return letters of deliveries that were given up."""
    return [await jobs.given_up(await jobs.ended("succeeded")) for _ in range(10)]


def no_catalogue() -> Catalogue:
    raise AssertionError("only an orphan's job is held to the catalogue")


async def test_discards_and_replays_at_once(pool: Database, jobs: Jobs, webhooks: list[UUID]) -> None:
    """Of two who discard a webhook's letter and send it again, one does, and the other gets a conflict."""
    use = Closing(pool)
    for _ in range(ROUNDS):
        pairs = [(replay(pool, each, "key", no_catalogue), use.discard("key", each, WHY)) for each in webhooks]
        results = await asyncio.gather(*chain(*pairs), return_exceptions=True)
        for pair in zip(results[::2], results[1::2], strict=True):
            assert tuple(map(type, pair)) in ((Redelivered, ConflictError), (ReplayRefusedError, DeadLetter)), pair
        await jobs.execute(FAIL_AGAIN)


async def test_bulk_discards_and_replays_at_once(pool: Database, jobs: Jobs, webhooks: list[UUID]) -> None:
    """Each letter is discarded or replayed, whatever the order in which the replays come."""
    for _ in range(ROUNDS):
        replays = [replay(pool, letter_id, "key", no_catalogue) for letter_id in webhooks[::-1]]
        scope = LetterScope(kind=LetterKind.WEBHOOK)
        discard = Closing(pool).discard_all("key", BulkDiscardRequest(scope=scope, reason=WHY, count=len(webhooks)))
        discarded, *replayed = await asyncio.gather(discard, *replays, return_exceptions=True)
        assert {type(each) for each in replayed} <= {Redelivered, ReplayRefusedError}, replayed
        count = discarded.discarded if isinstance(discarded, BulkDiscardReply) else 0
        assert count or isinstance(discarded, CountDiffersError), discarded
        assert count + sum(isinstance(each, Redelivered) for each in replayed) == len(webhooks)
        await jobs.execute(FAIL_AGAIN)
