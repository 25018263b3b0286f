"""Migrations while services run: waits, their limits, and interruptions."""

import asyncio
import signal
import sys
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import asyncpg
import pytest

from darkroom_contracts.schema import OUTSIDE, Migration
from darkroom_local.program import base_environment
from operations.migrations.migrate import migrate
from operations.migrations.migrator import MigrationError, Patience
from tests.integration.operations.jobs import Jobs
from tests.integration.operations.migrations.later import ADD_COLUMN, BUILD_INDEX, NEXT, known
from tests.support.children import Child
from tests.support.waiting import eventually

LOCK_SECONDS = 1.0
MARGIN_SECONDS = 0.5
PATIENCE = Patience(lock=LOCK_SECONDS, total=60, longest_pause=0.5, report=0.2)
INDEX = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('jobs_extra')"
APPLIED = f"SELECT count(*) FROM schema_migrations WHERE version = {NEXT}"
END_MIGRATORS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'darkroom-migrate'
"""
MIGRATE = """
import asyncio, sys
from operations.migrations.migrate import migrate
from tests.integration.operations.migrations.later import BUILD_INDEX, known
asyncio.run(migrate(sys.argv[1], known=known(BUILD_INDEX)))
"""


@asynccontextmanager
async def dumping(database: str) -> AsyncIterator[asyncpg.Connection]:
    """Open a session with a transaction that has read `jobs`, as pg_dump does."""
    connection = await asyncpg.connect(database)
    try:
        await connection.execute("SET idle_in_transaction_session_timeout = 0")
        async with connection.transaction(isolation="repeatable_read"):
            await connection.fetch("SELECT id FROM jobs")
            yield connection
    finally:
        await connection.close()


class Reports(list[str]):
    """The reports of the migrator."""

    async def of(self, words: str, times: int = 1) -> None:
        await eventually(lambda: sum(words in report for report in self) >= times, seconds=30, what=words)


@pytest.fixture
def reports() -> Reports:
    return Reports()


async def slowest_submission(jobs: Jobs, until: "asyncio.Future[Any]") -> float:
    """Insert jobs one after the other, and return the seconds of the slowest insert."""
    slowest = 0.0
    while not until.done():
        started = monotonic()
        await jobs.queued()
        slowest = max(slowest, monotonic() - started)
    return slowest


async def test_intake_never_waits_longer_than_the_lock_timeout(database: str, jobs: Jobs, reports: Reports) -> None:
    """While a dump blocks a migration, inserts wait briefly; after the dump the migration succeeds."""
    async with dumping(database):
        migrating = asyncio.create_task(
            migrate(database, known=known(ADD_COLUMN), patience=PATIENCE, report=reports.append)
        )
        intake = asyncio.create_task(slowest_submission(jobs, migrating))
        await reports.of("canceling statement due to lock timeout", times=3)
        assert not migrating.done()
    assert await migrating == [ADD_COLUMN]
    assert LOCK_SECONDS / 2 < await intake < LOCK_SECONDS + MARGIN_SECONDS
    assert f"Migration {NEXT} (add_column) is held up and will be tried again" in reports[0]
    assert "The oldest open transaction is that of a session (pid " in reports[0]


async def test_the_tries_end(database: str, jobs: Jobs) -> None:
    """A migration that is blocked for too long fails, names the blocking transaction, and changes nothing."""
    patience = Patience(lock=0.05, total=0.3, longest_pause=0.05)
    async with dumping(database):
        with pytest.raises(
            MigrationError, match=r"\(add_column\) was held up for 0\.3 s: .*The oldest open transaction"
        ):
            await migrate(database, known=known(ADD_COLUMN), patience=patience)
    assert await jobs.value(APPLIED) == 0
    assert await migrate(database, known=known(ADD_COLUMN)) == [ADD_COLUMN]


async def test_a_deadlock_is_tried_again(database: str, jobs: Jobs, rows: asyncpg.Connection) -> None:
    """A migration that lost a deadlock against a service is applied afterwards."""
    both = Migration(NEXT, "both", "ALTER TABLE jobs ADD COLUMN a integer; ALTER TABLE outbox ADD COLUMN b integer")
    await rows.execute("SET deadlock_timeout = '1min'")  # so that the migration finds the deadlock, and is its victim
    async with rows.transaction():
        await rows.execute("LOCK TABLE outbox IN ROW EXCLUSIVE MODE")
        patience = Patience(lock=30, total=60, longest_pause=0.5)
        migrating = asyncio.create_task(migrate(database, known=known(both), patience=patience))
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'outbox'::regclass"
        await eventually(lambda: _is(jobs, waiting, 1), what="the migration waits for the outbox")
        await rows.fetch("SELECT id FROM jobs")
    assert await migrating == [both]


async def test_an_index_is_built_while_jobs_come_in(database: str, jobs: Jobs, reports: Reports) -> None:
    """The build of an index waits for older transactions, and only another migrator waits for the build."""
    async with dumping(database):
        both = [
            asyncio.create_task(migrate(database, known=known(BUILD_INDEX), patience=PATIENCE, report=reports.append))
            for _ in range(2)
        ]
        intake = asyncio.create_task(slowest_submission(jobs, asyncio.gather(*both)))
        await reports.of("(build_index) is still at work. The oldest open transaction is that of", times=8)
        await reports.of("Another migration is under way", times=8)
    assert sorted(map(len, await asyncio.gather(*both))) == [0, 1]
    assert await intake < MARGIN_SECONDS
    assert await jobs.value(INDEX) is True


async def test_an_index_that_was_interrupted_is_built_again(database: str, jobs: Jobs, reports: Reports) -> None:
    """After an interruption the next run drops the invalid index and builds it again."""
    async with dumping(database):
        migrating = asyncio.create_task(migrate(database, known=known(BUILD_INDEX), patience=PATIENCE))
        await eventually(lambda: _is(jobs, INDEX, False), what="the index is being built")
        await jobs.execute(END_MIGRATORS)
        with pytest.raises(MigrationError, match=r"Migration \d+ \(build_index\) failed"):
            await migrating
        assert await jobs.value(INDEX) is False
    assert await jobs.value(APPLIED) == 0
    assert await migrate(database, known=known(BUILD_INDEX), report=reports.append) == [BUILD_INDEX]
    assert await jobs.value(INDEX) is True
    (report,) = reports
    assert report.startswith("Dropping the index jobs_extra")


async def test_a_migrator_that_was_killed_is_waited_for(
    database: str, jobs: Jobs, reports: Reports, tmp_path: Path
) -> None:
    """Postgres completes the build of a killed client; the next run waits for it and records it."""
    async with dumping(database):
        killed = Child((sys.executable, "-c", MIGRATE, database), base_environment(), Path.cwd(), tmp_path / "log")
        await eventually(lambda: _is(jobs, INDEX, False), seconds=30, what=f"the index is being built: {killed.tail()}")
        killed.send(signal.SIGKILL)
        await killed.wait()
        again = asyncio.create_task(
            migrate(database, known=known(BUILD_INDEX), patience=PATIENCE, report=reports.append)
        )
        await reports.of("Another migration is under way", times=3)
        assert await jobs.value(APPLIED) == 0
    assert await again == [BUILD_INDEX]
    assert await jobs.value(INDEX) is True
    assert not any("Dropping" in report for report in reports)


async def test_a_migration_that_fails_quotes_no_rows(database: str, jobs: Jobs) -> None:
    """The error of a failed migration holds no values of rows; with correct data the next run succeeds."""
    unique_url = Migration(
        NEXT, "unique_url", f"{OUTSIDE}CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS jobs_extra ON jobs (webhook_url)"
    )
    first, _ = await jobs.queued(), await jobs.queued()
    with pytest.raises(MigrationError) as failed:
        await migrate(database, known=known(unique_url))
    assert "UniqueViolationError (23505), table jobs, constraint jobs_extra" in str(failed.value)
    assert "example.com" not in "".join(traceback.format_exception(failed.value))
    await jobs.set(first, webhook_url="NULL")
    assert await migrate(database, known=known(unique_url)) == [unique_url]
    assert await jobs.value(INDEX) is True


async def test_waiting_for_another_migrator_ends(database: str, jobs: Jobs) -> None:
    """The wait for another migrator ends with a sentence."""
    await jobs.execute("SELECT pg_advisory_lock(hashtextextended('darkroom.migrations', 0))")
    with pytest.raises(MigrationError, match=r"still under way after 0\.1 s.*darkroom-migrate"):
        await migrate(database, patience=Patience(total=0.1))


async def test_two_statements_outside_a_transaction_are_refused(database: str, jobs: Jobs) -> None:
    """A migration outside a transaction with two statements fails, since Postgres runs them in one transaction."""
    two = Migration(NEXT, "two", f"{BUILD_INDEX.sql} DROP INDEX CONCURRENTLY jobs_finished;")
    with pytest.raises(MigrationError, match=r"\(two\) failed: CREATE INDEX CONCURRENTLY cannot"):
        await migrate(database, known=known(two))
    assert await jobs.value(INDEX) is None


async def _is(jobs: Jobs, query: str, wanted: object) -> bool:
    return bool(await jobs.value(query) == wanted)
