"""What dispatch costs Postgres: the same beside a history, a backlog and many destinations, whatever it guesses."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID, uuid4

import asyncpg
import pytest

from chassis.postgres import Database
from chassis.settings import DatabaseSettings
from tests.integration.webhooks.jobs import INPUT, Shop
from tests.support.plans import KeptPlans, explain, rows_looked_at, uuids
from tests.support.services import Services
from webhooks.dispatch.store import queries

HISTORY = 20_000
"""Deliveries that succeeded."""
BACKLOG = 20_000
"""Due deliveries of one destination."""
PLACES = 1_000
"""Destinations with one due delivery each."""
IN_FLIGHT = 200
PAGE = 100
SHARE = 16
DAY_AGO = "uuidv7(interval '-1 day' + n * interval '1 millisecond')"
JOBS = """
    INSERT INTO jobs (id, tenant_id, model, input, traceparent, ttl, expires_at, status, completed_at, version)
    SELECT uuidv7(interval '-1 day'), $1, 'tiny', $2, '', '1 hour', now(), 'canceled', now(), 2
    FROM generate_series(1, 5000)
"""
ENDPOINTS = """
    INSERT INTO webhook_endpoints (tenant_id, url, events)
    SELECT $1, 'https://standing.example/', '{job.canceled}' FROM generate_series(1, 5000)
"""
DELIVERIES = f"""
    INSERT INTO webhook_deliveries (id, endpoint_id, tenant_id, job_id, job_version, event, url, origin, status,
        next_attempt_at, finished_at, attempt, body, lease_token, lease_expires_at)
    SELECT {DAY_AGO}, endpoint.id, $1, uuidv7(), 2, 'job.canceled',
        'https://a.example/', 'https://' || CASE $3 WHEN 'places' THEN 'place-' || n ELSE $3 END || '.example:443',
        CASE $3 WHEN 'history' THEN 'succeeded' ELSE 'pending' END,
        CASE WHEN $3 <> 'history' THEN now() - interval '1 minute' END, CASE $3 WHEN 'history' THEN now() END,
        1, 'x', CASE $3 WHEN 'flying' THEN gen_random_uuid() END, CASE $3 WHEN 'flying' THEN now() - interval '1 s' END
    FROM generate_series(1, $2::integer) AS n,
        (SELECT id FROM webhook_endpoints WHERE tenant_id = $1 AND implicit) AS endpoint
"""
FRESH = """
    UPDATE webhook_deliveries AS delivery SET body = NULL, attempt = 0, job_id = job.id, job_version = 2
    FROM (SELECT id, row_number() OVER () AS n FROM jobs) AS job,
        (SELECT id, row_number() OVER (ORDER BY id) AS n FROM webhook_deliveries WHERE origin ~ 'place') AS place
    WHERE place.n = job.n AND delivery.id = place.id
"""
ATTEMPTS = """
    INSERT INTO webhook_attempts (delivery_id, number, lease_token)
    SELECT id, 1, coalesce(lease_token, id) FROM webhook_deliveries WHERE attempt = 1
"""


@dataclass(frozen=True)
class Place:
    """A database, and what its statements are asked for."""

    url: str
    implicit: UUID
    standing: list[UUID]
    fresh: list[UUID]
    flying: list[tuple[UUID, UUID]]
    """Deliveries in flight and their tokens."""

    @classmethod
    def empty(cls, url: str) -> "Place":
        """Return a database that has none of what its statements are asked for."""
        return cls(url, uuid4(), [uuid4() for _ in range(10)], [uuid4() for _ in range(PAGE)], [(uuid4(), uuid4())])

    def statements(self) -> list[tuple[str, str, int]]:
        """Return the statements, arguments in the order of their use, and the rows that each may look at."""
        return [*self.claims(), *self.others()]

    def claims(self) -> list[tuple[str, str, int]]:
        """Return those of a round."""
        few = self.fresh[:PAGE]
        places = [f"https://place-{n}.example:443" for n in range(1, 10)] + ["https://backlog.example:443"]
        shares = texts([str(SHARE)] * len(places))
        claimed = f"{uuids(few)}, {uuids(few)}, {texts(['u'] * PAGE)}, {texts(['o'] * PAGE)}, {texts(['b'] * PAGE)}"
        return [
            ("find_destinations", f"'{UUID(int=0)}', '', {PAGE}, '{{first}}'", 2 * PAGE + 1),
            ("find_destinations", f"'{self.implicit}', 'https://place-5', {PAGE}, '{{first}}'", 2 * PAGE + 1),
            ("find_recent", "2.0, 500", 2),
            ("lock_due", f"{uuids([self.implicit] * 10)}, {texts(places)}, {shares}, '{{first}}'", 20 + SHARE),
            ("read_jobs", uuids(few), 2 * PAGE),
            ("adopt_master_key", f"'first', {uuids(self.standing[:5])}", 5),
            ("begin_attempts", f"'1 minute', {claimed}", PAGE),
            ("refuse", f"{uuids(few)}, 'It was refused.'", PAGE),
            ("sample", "10000", 2 * 10_000),  # and an endpoint for each, at worst
        ]

    def others(self) -> list[tuple[str, str, int]]:
        """Return those of completing, reaping and the rest."""
        outcome = {"url": "https://standing.example/", "works": False, "gone": False}
        outcomes = [{"endpoint_id": str(each), **outcome} for each in self.standing[:10]]
        ended = [
            {"id": str(each), "number": 1, "token": str(token), "outcome": "succeeded", "status": "succeeded"}
            for each, token in self.flying
        ]
        destination = f"'{self.implicit}', 'https://backlog.example:443'"
        return [
            ("complete", f"'{json.dumps(ended)}'", 2 * IN_FLIGHT),
            ("note_outcomes", f"'{json.dumps(outcomes)}', 120, 60", 2 * 10 + 10 * 10),  # at worst each by each
            ("find_moved", f"{uuids(self.standing[:10])}, {texts(['u'] * 10)}", 10 + 10),
            ("reap", f"200, {IN_FLIGHT}", 3 * IN_FLIGHT),
            ("cancel_destination", f"{destination}, 500", 1_000),
            ("give_up", f"{destination}, 500, '5 days'", 502),
        ]


def texts(values: list[str]) -> str:
    return f"'{{{','.join(values)}}}'"


@pytest.fixture(scope="module")
async def url(services: Services) -> AsyncIterator[str]:
    """Make a database without rows."""
    url = await services.database.create_database()
    yield url
    await services.database.drop_database(url)


@pytest.fixture(scope="module")
async def kept(url: str) -> AsyncIterator[KeptPlans]:
    """Plan the statements while the tables are empty, which the planner knows."""
    connection = await asyncpg.connect(url)
    for table in ("webhook_deliveries", "webhook_attempts", "webhook_endpoints", "jobs"):
        await connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
    await connection.execute("VACUUM ANALYZE")
    plans = KeptPlans(connection)
    for name, arguments, _ in Place.empty(url).statements():
        await plans.prepare(getattr(queries, name).sql, arguments)
    yield plans
    await connection.close()


@pytest.fixture(scope="module")
async def place(url: str, kept: KeptPlans) -> AsyncIterator[Place]:
    """Fill the database."""
    connection = await asyncpg.connect(url)
    shop = await Shop.open(connection)
    await connection.execute("INSERT INTO tenants (name) SELECT 'another-' || n FROM generate_series(1, 500) AS n")
    await connection.execute(JOBS, shop.tenant, INPUT)
    await connection.execute(ENDPOINTS, shop.tenant)
    for kind, count in (("history", HISTORY), ("backlog", BACKLOG), ("places", PLACES), ("flying", IN_FLIGHT)):
        await connection.execute(DELIVERIES, shop.tenant, count, kind)
    await connection.execute(FRESH)
    await connection.execute(ATTEMPTS)
    find = "SELECT id, lease_token FROM webhook_deliveries WHERE"
    flying = await connection.fetch(f"{find} lease_token IS NOT NULL")
    fresh = await connection.fetch(f"{find} attempt = 0")
    standing = await connection.fetch("SELECT id FROM webhook_endpoints WHERE NOT implicit")
    implicit = "SELECT id FROM webhook_endpoints WHERE implicit AND tenant_id = $1"
    yield Place(
        url,
        await connection.fetchval(implicit, shop.tenant),
        [row["id"] for row in standing],
        [row["id"] for row in fresh],
        [tuple(row) for row in flying],
    )
    await connection.close()


@pytest.fixture
async def pool(place: Place) -> AsyncIterator[Database]:
    """Of one connection, which so is the one that plans."""
    async with Database(DatabaseSettings(database_url=place.url, database_connections=1), "test") as opened:
        yield opened


async def test_no_plan_that_was_made_of_empty_tables_grows(place: Place, kept: KeptPlans) -> None:
    """Before the other test, whose ANALYZE would have the statements planned again."""
    excessive = []
    for name, arguments, rows in place.statements():
        plan = await kept.explain(getattr(queries, name).sql, arguments)
        if (seen := rows_looked_at(plan)) > rows:
            excessive.append(f"{name} looks at {seen:.0f} rows")
    assert excessive == []


@pytest.mark.parametrize("statistics", ["SELECT 1", "ANALYZE", "VACUUM ANALYZE"])  # in this order
async def test_no_statement_grows_with_what_waits_or_was_sent(pool: Database, place: Place, statistics: str) -> None:
    """With custom and generic plans; without statistics and with them."""
    async with pool.connection() as connection:
        await connection.execute(statistics)
    excessive = []
    for name, arguments, rows in place.statements():
        for generic in (False, True):
            async with pool.index_walk() as connection:
                plan = await explain(connection, getattr(queries, name).sql, arguments, generic=generic)
                await connection.execute("ROLLBACK")
            if (seen := rows_looked_at(plan)) > rows:
                excessive.append(f"{name} looks at {seen:.0f} rows, generic: {generic}")
    assert excessive == []
