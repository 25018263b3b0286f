"""GET /v1/webhook-endpoints/{id}/stats."""

from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx2
import pytest

from tests.integration.webhooks.registry.made import PATH, make
from tests.support.declared import refusal
from webhooks.registry import statistics

DELIVERIES = """
    INSERT INTO webhook_deliveries (id, endpoint_id, tenant_id, event, url, origin, body, status, attempt, failures,
        created_at, scheduled_at, next_attempt_at, finished_at)
    SELECT made.id, $1, tenant_id, 'job.failed', url, url_origin(url), '{}', $2, 1, 0, at, at,
        CASE WHEN $2 = 'pending' THEN now() + interval '1 hour' END,
        CASE WHEN $2 <> 'pending' THEN at + n * interval '1 second' END
    FROM webhook_endpoints CROSS JOIN (
        SELECT n, uuidv7(-$4::interval) AS id, now() - $4 AS at FROM generate_series(1, $3::integer) AS n
    ) AS made WHERE webhook_endpoints.id = $1
"""
ATTEMPTS = """
    INSERT INTO webhook_attempts (delivery_id, number, lease_token, ended_at, outcome, total_ms)
    SELECT delivery.id, number, gen_random_uuid(), now(), $1, 10 * row_number() OVER (ORDER BY delivery.id)
    FROM webhook_deliveries AS delivery CROSS JOIN generate_series($3::integer, $4::integer) AS number
    WHERE status = $2
"""


class History:
    """Deliveries of an endpoint, inserted as rows."""

    def __init__(self, rows: asyncpg.Connection, endpoint_id: str) -> None:
        self._rows = rows
        self._endpoint_id = endpoint_id

    async def deliver(self, status: str, count: int, ago: timedelta = timedelta(hours=1)) -> None:
        """Insert deliveries that ended after 1, 2, 3, ... seconds."""
        await self._rows.execute(DELIVERIES, self._endpoint_id, status, count, ago)

    async def attempt(self, outcome: str, status: str, first: int = 1, last: int = 1) -> None:
        """Insert attempts of all deliveries of a status, which took 10, 20, 30, ... milliseconds."""
        await self._rows.execute(ATTEMPTS, outcome, status, first, last)


async def stats(client: httpx2.AsyncClient, endpoint_id: str) -> dict[str, Any]:
    """Return the statistics of an endpoint."""
    response = await client.get(f"{PATH}/{endpoint_id}/stats")
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def test_nothing_was_delivered_yet(client: httpx2.AsyncClient) -> None:
    """Every status and outcome is there, and there is no share of nothing."""
    counted = await stats(client, (await make(client))["id"])
    since = datetime.now(UTC) - datetime.fromisoformat(counted.pop("since"))
    assert timedelta(hours=24) <= since < timedelta(hours=24, minutes=1)
    assert counted.pop("deliveries") == dict.fromkeys(("pending", "succeeded", "failed", "retired", "canceled"), 0)
    assert counted.pop("attempts") == dict.fromkeys(("succeeded", "failed", "released", "lost"), 0)
    assert set(counted.values()) == {None}


async def test_a_day_is_counted(client: httpx2.AsyncClient, rows: asyncpg.Connection) -> None:
    """By status and outcome, with the times from event to success, and those of the attempts that succeeded."""
    made, other = await make(client), await make(client)
    history = History(rows, made["id"])
    for status, count in (("succeeded", 9), ("failed", 3), ("canceled", 2), ("retired", 1), ("pending", 4)):
        await history.deliver(status, count)
    await history.attempt("failed", "failed", 1, 10)
    await history.attempt("failed", "succeeded")
    await history.attempt("succeeded", "succeeded", 2, 2)
    await history.deliver("failed", 5, ago=timedelta(hours=25))
    await History(rows, other["id"]).deliver("succeeded", 7)
    counted = await stats(client, made["id"])
    assert counted["deliveries"] == {"pending": 4, "succeeded": 9, "failed": 3, "retired": 1, "canceled": 2}
    assert counted["attempts"] == {"succeeded": 9, "failed": 39, "released": 0, "lost": 0}
    assert counted["success_share"] == 0.75
    assert (counted["delivery_ms_p50"], counted["delivery_ms_p95"]) == (5000, pytest.approx(8600))
    assert (counted["attempt_ms_p50"], counted["attempt_ms_p95"]) == (50, pytest.approx(86))


async def test_the_oldest_that_waits(client: httpx2.AsyncClient, rows: asyncpg.Connection) -> None:
    """Though it is older than what is counted: the backlog of a paused endpoint is."""
    made = await make(client)
    history = History(rows, made["id"])
    for days in (1, 9, 4):
        await history.deliver("pending", 1, ago=timedelta(days=days))
    counted = await stats(client, made["id"])
    age = datetime.now(UTC) - datetime.fromisoformat(counted["oldest_pending_at"])
    assert timedelta(days=9) <= age < timedelta(days=9, minutes=1)
    assert counted["deliveries"]["pending"] == 0


async def test_the_count_is_bounded(
    client: httpx2.AsyncClient, rows: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the newest deliveries, and to as many attempts; `since` says where they begin."""
    monkeypatch.setattr(statistics, "MAX_COUNTED", 5)
    made = await make(client)
    history = History(rows, made["id"])
    await history.deliver("failed", 3, ago=timedelta(hours=3))
    await history.deliver("succeeded", 4, ago=timedelta(hours=1))
    await history.attempt("failed", "succeeded", 1, 9)
    counted = await stats(client, made["id"])
    assert (counted["deliveries"]["succeeded"], counted["deliveries"]["failed"]) == (4, 1)
    assert counted["attempts"]["failed"] == 5
    age = datetime.now(UTC) - datetime.fromisoformat(counted["since"])
    assert timedelta(hours=3) <= age < timedelta(hours=3, minutes=1)


async def test_the_implicit_endpoint_has_statistics(client: httpx2.AsyncClient, stranger: httpx2.AsyncClient) -> None:
    """Another tenant's are unknown."""
    assert (await stats(client, "implicit"))["success_share"] is None
    made = await make(client)
    assert refusal(await stranger.get(f"{PATH}/{made['id']}/stats")) == (404, "not_found", None)
