"""What lists and searches cost Postgres: the same over many letters as over few, however uneven they are."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from chassis.postgres import Database
from chassis.settings import DatabaseSettings
from operations.desk.store import queries
from operations.letters import store as letters_store
from tests.integration.operations.desk_letters import DeskLetters
from tests.support.plans import buffers, explain, rows_looked_at, tables_read_whole, uuids
from tests.support.services import Services

MANY = 20_000
FEW = 20
PAGE = 51
DESCENT = 4
"""Pages of an index from its root to a leaf, and one of the table."""
NEWEST, OLDEST = "'ffffffff-ffff-ffff-ffff-ffffffffffff'", "'00000000-0000-0000-0000-000000000000'"
NOTHING = ", ".join(["NULL"] * 11)
TABLES = ("dead_letters", "dead_letter_groups", "dead_letter_deltas", "attempts", "audit_log", "jobs")
AUDIT = """
    INSERT INTO audit_log (actor, action, subject)
    SELECT 'key', 'dead_letter.reveal', gen_random_uuid() FROM generate_series(1, 20000)
"""


@dataclass(frozen=True)
class Place:
    """A database, and what is rare in it: a tenant, a worker, a group, a job and some letters."""

    url: str
    tenant: UUID
    group: UUID
    groups: list[UUID]
    job: UUID
    page: list[UUID]

    def statements(self) -> list[tuple[str, str, int]]:
        """Return statements by name, arguments in the order of their first use, and how many rows each may look at."""
        some, one = uuids(self.page), f"'{self.page[0]}'"
        window, span = f"{NEWEST}, {OLDEST}", f"{OLDEST}, {NEWEST}"
        groups = uuids(self.groups)
        return [
            ("walk_kinds", f"ARRAY['job', 'orphan'], {window}, {PAGE}", 2 * PAGE),
            ("walk_open_kinds", f"ARRAY['job', 'orphan'], {window}, {PAGE}", 2 * PAGE),
            ("walk_groups", f"{groups}, {window}, {PAGE}", len(self.groups) * PAGE),
            ("walk_open_groups", f"{groups}, {window}, {PAGE}", len(self.groups) * PAGE),
            ("walk_tenant", f"'{self.tenant}', {window}, {PAGE}", PAGE),
            ("walk_worker", f"'rare', {window}, {PAGE}", PAGE),
            ("walk_job", f"'{self.job}', {window}, {PAGE}", 1),
            ("find_named", f"'{self.job}'", 1),
            ("find_named", f"'{self.group}'", 0),
            ("scope_kinds", f"ARRAY['job', 'orphan'], {span}, {PAGE}", 2 * PAGE),
            ("scope_group", f"'{self.group}', {span}, {PAGE}", FEW),
            ("scope_worker", f"'rare', {span}, {PAGE}", FEW),
            ("scope_tenant", f"'{self.tenant}', {span}, {PAGE}", FEW),
            ("read_letters", f"{some}, {NOTHING}, {PAGE}", 2 * len(self.page)),
            ("list_acts", f"{one}, 100", 0),
            ("find_letter", one, 1),
            ("discard", one, 2),
            ("restore", one, 2),
        ]


@pytest.fixture(scope="module")
async def place(services: Services) -> AsyncIterator[Place]:
    """Fill a database. What is rare is old, so that a guess by averages would be wrong."""
    url = await services.database.create_database()
    connection = await asyncpg.connect(url)
    for table in TABLES:
        await connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
    letters = DeskLetters(connection)
    await letters.add(MANY, tenant="many", worker="busy", ago=timedelta(hours=1))
    await letters.add(MANY, "webhook", status="discarded", tenant="many", code="webhook_exhausted", message="500")
    job = uuid4()
    rare: dict[str, Any] = {"tenant": "few", "worker": "rare", "message": "a rare failure", "ago": timedelta(days=1)}
    page = await letters.add(FEW - 1, **rare)
    page += await letters.add(1, job=job, **rare)
    await letters.add(FEW, "orphan", message="an orphan", ago=timedelta(days=2))
    await letters.fold()
    await connection.execute(AUDIT)
    groups = [row["id"] for row in await letters.fetch("SELECT id FROM dead_letter_groups")]
    group, tenant = await letters.group(page[0]), await letters.tenant("few")
    await connection.close()
    yield Place(url, tenant, group, groups, job, page)
    await services.database.drop_database(url)


@pytest.fixture
async def pool(place: Place) -> AsyncIterator[Database]:
    """Of one connection, which so is the one that plans."""
    async with Database(DatabaseSettings(database_url=place.url, database_connections=1), "test") as opened:
        yield opened


@pytest.mark.parametrize("statistics", ["SELECT", "ANALYZE", "VACUUM ANALYZE"])  # in this order
async def test_no_statement_grows_with_the_letters(pool: Database, place: Place, statistics: str) -> None:
    """With custom and generic plans; without statistics, and before and after pages are known to be visible to all."""
    async with pool.connection() as connection:
        await connection.execute(statistics)
    for name, arguments, rows in place.statements():
        for generic in (False, True):
            walks = name.startswith(("walk_", "scope_", "find_named"))
            async with pool.index_walk() if walks else pool.transaction() as connection:
                plan = await explain(connection, getattr(queries, name).sql, arguments, generic=generic)
                await connection.execute("ROLLBACK")
            assert not tables_read_whole(plan) & {*TABLES}, (name, generic, plan)
            assert rows_looked_at(plan, TABLES) <= rows, (name, generic, plan)
            assert name in ("discard", "restore") or buffers(plan) <= rows * DESCENT + 30, (name, generic, plan)


@pytest.mark.parametrize("generic", [False, True])
async def test_a_batch_of_the_ingest_looks_at_its_own_letters(pool: Database, place: Place, generic: bool) -> None:
    """It finds the letters of its jobs by an index, and no job by a scan."""
    jobs = uuids([place.job, *(uuid4() for _ in range(99))])
    numbers, ones = f"ARRAY{[*range(100)]}", f"ARRAY{[1] * 100}"
    nulls, headers = "array_fill(NULL::uuid, '{100}')", "array_fill('{}'::jsonb, '{100}')"
    bodies = "array_fill('x'::bytea, '{100}')"
    statement = letters_store.queries.attach_x_deaths.sql
    async with pool.transaction() as connection:
        plan = await explain(
            connection, statement, f"{numbers}, {jobs}, {ones}, {nulls}, {bodies}, {headers}", generic=generic
        )
        await connection.execute("ROLLBACK")
    assert not tables_read_whole(plan) & {*TABLES}, plan
    assert rows_looked_at(plan, TABLES) <= 2
