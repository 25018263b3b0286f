"""The group commit: the submissions of a batch share a commit and nothing else."""

import asyncio
import traceback
from collections.abc import Sequence
from uuid import UUID

import asyncpg
import pytest
from structlog.testing import capture_logs

from chassis.errors import BadDataError
from chassis.jobs.row import UndecodableColumnError
from chassis.postgres import Database
from gateway.batch import COMMITS_IN_FLIGHT, MOST_WAITING, Committer, CommitterFullError
from gateway.store import JobStore
from gateway.submission import Acceptance, Accepted, KeyReused, Submission
from tests.integration.gateway.clients import counts
from tests.integration.gateway.submissions import make_tenant, submission
from tests.support.waiting import eventually


async def test_submissions_that_arrive_together_share_commits(store: JobStore, rows: asyncpg.Connection) -> None:
    """A hundred submissions need a few transactions."""
    tenant = await make_tenant(rows)
    async with Committer(store) as committer:
        await asyncio.gather(*(committer.submit(submission(tenant)) for _ in range(100)))
    assert await counts(rows) == (100, 100, 0)
    assert await rows.fetchval("SELECT count(DISTINCT xmin::text) FROM jobs") <= COMMITS_IN_FLIGHT


async def test_each_gets_its_own_answer(store: JobStore, rows: asyncpg.Connection) -> None:
    """Rows are joined on the job's id, in whatever order the database returns them."""
    tenant = await make_tenant(rows)
    wanted = [submission(tenant, f"k{99 - n}", metadata={"n": str(n)}) for n in range(100)]
    async with Committer(store) as committer:
        outcomes = await asyncio.gather(*map(committer.submit, wanted))
    for outcome, asked in zip(outcomes, wanted, strict=True):
        assert isinstance(outcome, Accepted)
        assert (outcome.job.id, outcome.job.metadata) == (asked.id, asked.metadata)


async def test_a_bad_row_fails_alone(store: JobStore, rows: asyncpg.Connection) -> None:
    """A row that Postgres refuses, for a NUL or a missing tenant, does not affect the others."""
    tenant = await make_tenant(rows)
    bad = [submission(tenant, metadata={"a": "\0"}), submission(submission(tenant).id)]
    good = [submission(tenant, f"k{n}") for n in range(6)]
    async with Committer(store) as committer:
        outcomes = await asyncio.gather(*map(committer.submit, [*good[:3], *bad, *good[3:]]), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Accepted] * 3 + [BadDataError] * 2 + [Accepted] * 3
    assert await counts(rows) == (6, 6, 6)


async def test_what_postgres_refuses_leaves_no_prompt_in_the_logs(store: JobStore, rows: asyncpg.Connection) -> None:
    """Its error quotes the whole row; the log names the job and the constraint."""
    tenant = await make_tenant(rows)
    await rows.execute("ALTER TABLE jobs ADD CONSTRAINT no_lights CHECK (input ->> 'prompt' <> 'a lighthouse')")
    refused = submission(tenant)
    async with Committer(store) as committer:
        with capture_logs() as lines, pytest.raises(BadDataError) as caught:
            await committer.submit(refused)
    assert "lighthouse" not in f"{lines} {''.join(traceback.format_exception(caught.value))}"
    (line,) = lines
    assert line["job_id"] == str(refused.id)
    assert "no_lights" in line["error"]


async def test_a_client_that_leaves_does_not_cancel_its_batch(store: JobStore, rows: asyncpg.Connection) -> None:
    """Its job and the others are still recorded."""
    tenant = await make_tenant(rows)
    async with Committer(store) as committer:
        posts = [asyncio.create_task(committer.submit(submission(tenant))) for _ in range(5)]
        await asyncio.sleep(0)  # all are taken in, none is recorded yet
        posts[2].cancel()
        results = await asyncio.gather(*posts, return_exceptions=True)
    assert sum(isinstance(result, Accepted) for result in results) == 4
    assert await counts(rows) == (5, 5, 0)


async def test_leaving_answers_everything_that_was_taken_in(store: JobStore, rows: asyncpg.Connection) -> None:
    """A drain answers every submission."""
    tenant = await make_tenant(rows)
    async with Committer(store) as committer:
        posts = [asyncio.create_task(committer.submit(submission(tenant))) for _ in range(300)]
        await asyncio.sleep(0)
    assert all(post.done() for post in posts)
    assert await counts(rows) == (300, 300, 0)


async def test_the_queue_is_bounded(store: JobStore, rows: asyncpg.Connection) -> None:
    """Beyond the bound a submission is refused at once and not recorded."""
    tenant = await make_tenant(rows)
    async with Committer(store) as committer:
        posts = [asyncio.create_task(committer.submit(submission(tenant))) for _ in range(MOST_WAITING + 3)]
        results = await asyncio.gather(*posts, return_exceptions=True)
    assert sum(isinstance(result, CommitterFullError) for result in results) == 3
    assert await counts(rows) == (MOST_WAITING, MOST_WAITING, 0)


class InStep(JobStore):
    """A store whose inserts return when the test says so, all in the same step of the event loop."""

    inserted = 0

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.may_return = asyncio.Event()

    async def insert(self, submissions: Sequence[Submission]) -> dict[UUID, Acceptance]:
        accepted = await super().insert(submissions)
        self.inserted += 1
        await self.may_return.wait()
        return accepted


async def test_who_comes_as_the_last_commit_ends_is_served(pool: Database, rows: asyncpg.Connection) -> None:
    """A client that submits again just as all commits end does not wait for another submission."""
    tenant, store = await make_tenant(rows), InStep(pool)
    async with Committer(store) as committer:

        async def post(times: int) -> None:
            for _ in range(times):
                await committer.submit(submission(tenant))

        posting = []
        for number in range(COMMITS_IN_FLIGHT):
            posting.append(asyncio.create_task(post(1 if number else 2)))
            await eventually(lambda: store.inserted == len(posting), what="a commit is under way")
        store.may_return.set()
        async with asyncio.timeout(10):
            await asyncio.gather(*posting)
    assert await counts(rows) == (COMMITS_IN_FLIGHT + 1, COMMITS_IN_FLIGHT + 1, 0)


async def test_equal_keys_in_one_batch(store: JobStore, rows: asyncpg.Connection) -> None:
    """The first is accepted; the others replay it or are refused because the key is taken."""
    tenant = await make_tenant(rows)
    twins = [submission(tenant, "one"), submission(tenant, "one"), submission(tenant, "one", b"other")]
    assert set(await store.insert(twins)) == {twins[0].id}
    async with Committer(store) as committer:
        second, third = await asyncio.gather(*map(committer.submit, twins[1:]))
    assert isinstance(second, Accepted)
    assert (second.job.id, second.replayed) == (twins[0].id, True)
    assert third == KeyReused()


async def test_a_key_of_an_undecodable_job_fails_alone(store: JobStore, rows: asyncpg.Connection) -> None:
    """A newer version may have written what this one cannot read; other repeated requests get their jobs."""
    tenant = await make_tenant(rows)
    first, odd = submission(tenant, "one"), submission(tenant, "odd")
    await store.insert([first, odd])
    await rows.execute("UPDATE jobs SET input = jsonb_set(input, '{output_format}', '\"avif\"') WHERE id = $1", odd.id)
    async with Committer(store) as committer:
        asked = [submission(tenant, "odd"), submission(tenant, "one"), submission(tenant)]
        outcomes = await asyncio.gather(*map(committer.submit, asked), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [UndecodableColumnError, Accepted, Accepted]
    assert isinstance(outcomes[1], Accepted)
    assert (outcomes[1].job.id, outcomes[1].replayed) == (first.id, True)


async def test_a_twin_waits_for_the_first_to_commit(store: JobStore, rows: asyncpg.Connection) -> None:
    """While another transaction has the key the twin waits; if that rolls back, the twin is accepted."""
    tenant = await make_tenant(rows)
    transaction = rows.transaction()
    await transaction.start()
    await _claim(rows, "one", tenant)
    async with Committer(store) as committer:
        twin = asyncio.create_task(committer.submit(submission(tenant, "one")))
        await eventually(lambda: _someone_waits_for_a_lock(rows), what="the twin waits")
        assert not twin.done()
        await transaction.rollback()
        outcome = await twin
    assert isinstance(outcome, Accepted)
    assert not outcome.replayed


async def test_a_batch_that_is_a_deadlocks_victim_is_tried_again(store: JobStore, rows: asyncpg.Connection) -> None:
    """Postgres cancels the batch, which is then repeated."""
    tenant = await make_tenant(rows)
    await rows.execute("SET deadlock_timeout = '1min'")  # so that the other side finds the deadlock, and is its victim
    transaction = rows.transaction()
    await transaction.start()
    await _claim(rows, "b", tenant)
    async with Committer(store) as committer:
        posts = [asyncio.create_task(committer.submit(submission(tenant, key))) for key in "ab"]
        await eventually(lambda: _someone_waits_for_a_lock(rows), what="the batch waits for b")
        await _claim(rows, "a", tenant)  # ends only when the batch, which holds a, is canceled
        await transaction.rollback()
        outcomes = await asyncio.gather(*posts)
    assert [isinstance(outcome, Accepted) and not outcome.replayed for outcome in outcomes] == [True, True]
    assert await counts(rows) == (2, 2, 2)


async def _claim(rows: asyncpg.Connection, key: str, tenant: object) -> None:
    await rows.execute("INSERT INTO idempotency_keys VALUES ($1, $2, '', gen_random_uuid())", tenant, key)


async def _someone_waits_for_a_lock(rows: asyncpg.Connection) -> bool:
    waiting: int = await rows.fetchval(
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid()"
        " AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())"
    )
    return waiting > 0
