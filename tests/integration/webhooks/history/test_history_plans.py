"""What the log costs Postgres: the same over a long history as over a short one, whatever Postgres guesses."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from chassis.postgres import Database
from chassis.settings import DatabaseSettings
from tests.integration.webhooks.history.log import Log
from tests.support.plans import buffers, explain, rows_looked_at, tables_read_whole, uuids
from tests.support.services import Services
from webhooks.history.store import queries

LONG = 30_000
"""Deliveries of an endpoint that is used a lot."""
FEW = 20
PAGE = 51
DESCENT = 4
"""Pages of an index from its root to a leaf, and one of the table."""
NEWEST = "'ffffffff-ffff-ffff-ffff-ffffffffffff'"
OLDEST = "'00000000-0000-0000-0000-000000000000'"
TABLES = ("webhook_deliveries", "webhook_attempts", "webhook_endpoints")
TENANTS = "INSERT INTO tenants (name) SELECT 'another-' || n FROM generate_series(1, 2000) AS n"
SOME_FAILED = """
    UPDATE webhook_deliveries SET status = 'failed'
    WHERE id IN (
        SELECT id FROM webhook_deliveries WHERE endpoint_id <> ALL ($2) ORDER BY md5(id::text) LIMIT $1::integer / 2)
"""


@dataclass(frozen=True)
class Place:
    """A database, a tenant of it, its three endpoints, and the ids of a page."""

    url: str
    tenant: UUID
    endpoints: list[UUID]
    page: list[UUID]
    job: UUID
    deliveries_of_few: int = FEW + 1 + FEW

    def statements(self) -> list[tuple[str, str, int]]:
        """Return statements by name, arguments in the order of their first use, and how many rows each may look at."""
        used, few = self.endpoints[0], self.endpoints[2]
        endpoints, ids = uuids(self.endpoints), uuids(self.page)
        each = len(self.endpoints)
        return [
            ("find_endpoints", f"'{self.tenant}'", each),
            ("walk_deliveries", f"{endpoints}, {NEWEST}, {PAGE}", each * PAGE),
            ("walk_undelivered", f"{endpoints}, 'failed', {NEWEST}, {PAGE}", each * PAGE),
            ("walk_job", f"'{self.job}', {endpoints}, {NEWEST}, {PAGE}", each),
            ("read_deliveries", f"{ids}, NULL, NULL, {PAGE}", 2 * len(self.page)),
            ("find_delivery", f"'{self.page[0]}', '{self.tenant}', false", 2),
            ("list_attempts", f"'{self.page[0]}', 1000", 1),
            ("oldest_delivery", f"'{used}'", 1),
            ("following", f"'{used}', {OLDEST}, {PAGE}", PAGE),
            ("following_undelivered", f"'{used}', {OLDEST}, {PAGE}", PAGE),
            ("following_undelivered", f"'{few}', {OLDEST}, {PAGE}", 3 * self.deliveries_of_few),
            ("redeliver_ended", ids, len(self.page)),
        ]


@pytest.fixture(scope="module")
async def place(services: Services) -> AsyncIterator[Place]:
    """Fill a database: an endpoint that is used a lot, one that was deleted, one with few deliveries, a stranger's.

    What is rare is old, and a stranger's deliveries fail a lot: a guess by averages would be wrong.
    """
    url = await services.database.create_database()
    connection = await asyncpg.connect(url)
    for table in TABLES:
        await connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
    log = await Log.open(connection)
    await connection.execute(TENANTS)
    stranger = await log.another()
    endpoints, job = [await log.implicit(), await log.endpoint(), await log.endpoint()], uuid4()
    for endpoint in endpoints[:2]:
        await log.deliver(endpoint, LONG)
    await stranger.deliver(await stranger.endpoint(), LONG)
    for endpoint in endpoints:
        await log.deliver(endpoint, 1, job=job, ago=timedelta(days=1))
        await log.deliver(endpoint, FEW, "failed", ago=timedelta(days=2))
    page = await log.deliver(endpoints[2], FEW, ago=timedelta(days=3))
    await connection.execute(SOME_FAILED, LONG, endpoints)
    await connection.execute("UPDATE webhook_endpoints SET deleted_at = now() WHERE id = $1", endpoints[1])
    await connection.close()
    assert log.tenant is not None
    yield Place(url, log.tenant, endpoints, page, job)
    await services.database.drop_database(url)


@pytest.fixture
async def pool(place: Place) -> AsyncIterator[Database]:
    """Of one connection, which so is the one that plans."""
    async with Database(DatabaseSettings(database_url=place.url, database_connections=1), "test") as opened:
        yield opened


@pytest.mark.parametrize("statistics", ["SELECT 1", "ANALYZE", "VACUUM ANALYZE"])  # in this order
async def test_no_statement_grows_with_the_history(pool: Database, place: Place, statistics: str) -> None:
    """With custom and generic plans; without statistics, before pages are known to be visible to all, and after."""
    async with pool.connection() as connection:
        await connection.execute(statistics)
    for name, arguments, rows in place.statements():
        for generic in (False, True):
            async with pool.transaction() as connection:
                plan = await explain(connection, getattr(queries, name).sql, arguments, generic=generic)
                await connection.execute("ROLLBACK")
            assert not tables_read_whole(plan), (name, plan)
            assert rows_looked_at(plan) <= rows, (name, plan)
            assert name == "redeliver_ended" or buffers(plan) <= rows * DESCENT + 10, (name, plan)
