"""What a page of the audit log costs Postgres: the same over many entries as over few, whatever is asked for."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from chassis.postgres import Database
from chassis.settings import DatabaseSettings
from operations.audit.store import queries
from tests.support.plans import buffers, explain, nodes
from tests.support.services import Services

PAGE = 51
DESCENT = 4
"""Pages of an index from its root to a leaf, and one of the table."""
NEWEST = "'infinity', 0"
WEEK_AGO = "now() - interval '7 days', 0"
HOUR_BEFORE = "now() - interval '7 days 1 hour'"
FILL = """
    INSERT INTO audit_log (actor, action, subject, at)
    SELECT CASE WHEN n % 1000 = 0 THEN 'rare' ELSE 'busy' END,
        CASE WHEN n % 1000 = 0 THEN 'key.revoke' ELSE 'dead_letter.reveal' END,
        CASE WHEN n <= 20 THEN 'old' ELSE n::text END, now() - (20000 - n) * interval '1 minute'
    FROM generate_series(1, 20000) AS n
"""
STATEMENTS = [
    ("walk_all", f"{NEWEST}, '-infinity', {PAGE}", PAGE),
    ("walk_all", f"{WEEK_AGO}, '-infinity', {PAGE}", PAGE),
    ("walk_all", f"{WEEK_AGO}, {HOUR_BEFORE}, 201", 61),
    ("walk_all", f"now() - interval '1 year', 0, '-infinity', {PAGE}", 0),
    ("walk_actor", f"'busy', {NEWEST}, '-infinity', NULL, {PAGE}", PAGE),
    ("walk_actor", f"'busy', {WEEK_AGO}, {HOUR_BEFORE}, NULL, 201", 61),
    ("walk_actor", f"'rare', {NEWEST}, '-infinity', 'key.revoke', {PAGE}", 20),
    ("walk_action", f"'dead_letter.reveal', {WEEK_AGO}, {HOUR_BEFORE}, 201", 61),
    ("walk_action", f"'key.revoke', {NEWEST}, '-infinity', {PAGE}", 20),
    ("walk_subject", f"'old', {NEWEST}, '-infinity', 'busy', 'dead_letter.reveal', {PAGE}", 20),
    ("walk_subject", f"'old', {WEEK_AGO}, {HOUR_BEFORE}, NULL, NULL, {PAGE}", 0),
    ("read_entries", f"ARRAY{[*range(1, PAGE + 1)]}", PAGE),
]
"""Statements by name, arguments in the order of their first use, and how many entries each may look at."""


@pytest.fixture(scope="module")
async def url(services: Services) -> AsyncIterator[str]:
    """Fill a log: what is rare is spread, or old."""
    made = await services.database.create_database()
    connection = await asyncpg.connect(made)
    await connection.execute("ALTER TABLE audit_log SET (autovacuum_enabled = off)")
    await connection.execute(FILL)
    await connection.close()
    yield made
    await services.database.drop_database(made)


@pytest.fixture
async def pool(url: str) -> AsyncIterator[Database]:
    """Of one connection, which so is the one that plans."""
    async with Database(DatabaseSettings(database_url=url, database_connections=1), "test") as opened:
        yield opened


@pytest.mark.parametrize("statistics", [None, "ANALYZE", "VACUUM ANALYZE"])  # in this order
@pytest.mark.parametrize("generic", [False, True])
async def test_no_page_grows_with_the_log(pool: Database, statistics: str | None, generic: bool) -> None:
    """With custom and generic plans; without statistics, and with them."""
    if statistics is not None:
        async with pool.connection() as connection:
            await connection.execute(statistics)
    for name, arguments, most in STATEMENTS:
        async with pool.index_walk() as connection:
            plan = await explain(connection, getattr(queries, name).sql, arguments, generic=generic)
        scans = [node for node in nodes(plan) if node.get("Relation Name") == "audit_log"]
        assert "Seq Scan" not in {scan["Node Type"] for scan in scans}, (name, plan)
        seen = sum(
            (scan["Actual Rows"] + scan.get("Rows Removed by Filter", 0)) * scan["Actual Loops"] for scan in scans
        )
        assert seen <= most, (name, arguments, plan)
        assert buffers(plan) <= most * DESCENT + 30, (name, arguments, plan)
