"""The ends of deliveries that letters record, their way back, and events that are not of jobs."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

ENDPOINT = """
    INSERT INTO webhook_endpoints (tenant_id, audience, url, events, status)
    VALUES ((SELECT id FROM tenants WHERE name = $1), CASE WHEN $1::text IS NULL THEN 'operator' ELSE 'client' END,
        'https://Example.com/hook', $2, $3) RETURNING id
"""
FAILED = """
    UPDATE webhook_deliveries SET status = 'failed', attempt = 10, failures = 10, next_attempt_at = NULL, losses = 2,
        finished_at = now(), scheduled_at = now() - interval '4 days'
    WHERE id = $1
"""


@pytest.fixture
async def endpoint(connection: asyncpg.Connection) -> UUID:
    """Make a tenant's standing endpoint."""
    await connection.execute("INSERT INTO tenants (name) VALUES ('red')")
    return await make_endpoint(connection, "red")


async def make_endpoint(
    connection: asyncpg.Connection, tenant: str | None, *events: str, status: str = "enabled"
) -> UUID:
    return UUID(str(await connection.fetchval(ENDPOINT, tenant, events, status)))


async def record(connection: asyncpg.Connection, endpoint: UUID) -> UUID | None:
    """Record a test event."""
    recorded: UUID | None = await connection.fetchval(
        "SELECT record_event($1, 'webhook_endpoint.test', '{\"a\": 1}')", endpoint
    )
    return recorded


async def bury(connection: asyncpg.Connection, delivery: UUID) -> None:
    await connection.execute(FAILED, delivery)
    await connection.execute("SELECT bury_delivery($1, 'The receiver answered 500.')", delivery)


async def redeliver(connection: asyncpg.Connection, delivery: UUID) -> bool:
    return bool(await connection.fetchval("SELECT redeliver($1)", delivery))


async def letters(connection: asyncpg.Connection) -> list[Any]:
    return list(await connection.fetch("SELECT * FROM dead_letters ORDER BY created_at"))


async def find(connection: asyncpg.Connection, delivery: UUID) -> Any:
    return await connection.fetchrow("SELECT * FROM webhook_deliveries WHERE id = $1", delivery)


async def test_an_event_goes_to_one_endpoint(connection: asyncpg.Connection, endpoint: UUID) -> None:
    """Whatever events it receives; its data is kept at once."""
    delivery = await find(connection, await record(connection, endpoint) or uuid4())
    assert (delivery["endpoint_id"], delivery["event"], delivery["job_id"]) == (endpoint, "webhook_endpoint.test", None)
    assert (delivery["snapshot"], delivery["status"]) == ('{"a": 1}', "pending")
    assert (delivery["url"], delivery["origin"]) == ("https://Example.com/hook", "https://example.com:443")
    assert delivery["tenant_id"] == await connection.fetchval("SELECT id FROM tenants WHERE name = 'red'")


@pytest.mark.parametrize(
    "change", ["deleted_at = now()", "status = 'disabled', disabled_reason = 'gone'", "implicit = true, url = NULL"]
)
async def test_an_endpoint_that_receives_nothing_gets_no_event(
    connection: asyncpg.Connection, endpoint: UUID, change: str
) -> None:
    """A paused one does, and it waits."""
    await connection.execute("DELETE FROM webhook_endpoints WHERE implicit")
    await connection.execute("UPDATE webhook_endpoints SET status = 'paused'")
    assert await record(connection, endpoint)
    await connection.execute("UPDATE webhook_endpoints SET status = 'enabled'")
    await connection.execute(f"UPDATE webhook_endpoints SET {change}")
    assert await record(connection, endpoint) is None


async def test_an_operators_event_goes_to_each_operators_endpoint_that_wants_it(
    connection: asyncpg.Connection, endpoint: UUID
) -> None:
    """And never to a tenant's, whatever events that one lists."""
    await connection.execute("UPDATE webhook_endpoints SET events = '{webhook_endpoint.disabled}'")
    wanted = {await make_endpoint(connection, None, "webhook_endpoint.disabled", "x") for _ in range(3)}
    await make_endpoint(connection, None, "webhook_endpoint.failing")
    await connection.execute("SELECT record_operators_event('webhook_endpoint.disabled', '{}')")
    rows = await connection.fetch("SELECT endpoint_id, tenant_id FROM webhook_deliveries")
    assert {row["endpoint_id"] for row in rows} == wanted
    assert {row["tenant_id"] for row in rows} == {None}


async def test_a_delivery_is_buried_with_its_last_error(connection: asyncpg.Connection, endpoint: UUID) -> None:
    """Operators read code, message and stage, as of a job's letter."""
    delivery = await record(connection, endpoint)
    assert delivery
    await bury(connection, delivery)
    [letter] = await letters(connection)
    assert (letter["kind"], letter["status"], letter["delivery_id"]) == ("webhook", "open", delivery)
    assert (letter["reason"], letter["generation"], letter["job_id"]) == ("webhook_exhausted", None, None)
    error = await connection.fetchrow(
        "SELECT * FROM jsonb_to_record($1) AS e (code text, message text, retryable boolean, stage text)",
        letter["error"],
    )
    assert tuple(error) == ("webhook_exhausted", "The receiver answered 500.", True, "delivery")
    assert (await find(connection, delivery))["dead_lettered"]


async def test_a_redelivery_begins_a_new_schedule(
    connection: asyncpg.Connection, endpoint: UUID, database: str
) -> None:
    """It is due at once, its letter is replaying, and a dispatcher is woken."""
    delivery = await record(connection, endpoint)
    assert delivery
    await bury(connection, delivery)
    heard: asyncio.Queue[str] = asyncio.Queue()
    listener = await asyncpg.connect(database)
    await listener.add_listener("darkroom_webhooks", lambda *_: heard.put_nowait("delivery"))
    assert await redeliver(connection, delivery)
    await asyncio.wait_for(heard.get(), 10)
    await listener.close()
    row = await find(connection, delivery)
    assert (row["status"], row["failures"], row["losses"], row["attempt"]) == ("pending", 0, 0, 10)
    assert row["finished_at"] is None
    assert await connection.fetchval("SELECT $1 > now() - interval '1 minute'", row["scheduled_at"])
    assert await connection.fetchval("SELECT $1 <= clock_timestamp()", row["next_attempt_at"])
    [letter] = await letters(connection)
    assert (letter["status"], row["dead_lettered"]) == ("replaying", True)


async def test_an_attempt_in_flight_is_not_redelivered(connection: asyncpg.Connection, endpoint: UUID) -> None:
    """Nor is a delivery that does not exist."""
    delivery = await record(connection, endpoint)
    assert delivery
    await connection.execute(
        "UPDATE webhook_deliveries SET attempt = 1, snapshot = NULL, body = 'x', lease_token = gen_random_uuid(),"
        " lease_expires_at = now() WHERE id = $1",
        delivery,
    )
    before = await find(connection, delivery)
    assert not await redeliver(connection, delivery)
    assert await find(connection, delivery) == before
    assert not await redeliver(connection, uuid4())


async def test_a_second_end_resolves_the_first_letter(connection: asyncpg.Connection, endpoint: UUID) -> None:
    """A delivery has one letter at most that is not resolved."""
    delivery = await record(connection, endpoint)
    assert delivery
    await bury(connection, delivery)
    await redeliver(connection, delivery)
    await bury(connection, delivery)
    assert [letter["status"] for letter in await letters(connection)] == ["replayed", "open"]
    with pytest.raises(asyncpg.UniqueViolationError):
        await bury(connection, delivery)


@pytest.mark.parametrize("status", ["replayed", "discarded"])
async def test_a_delivery_knows_whether_a_letter_holds_it(
    connection: asyncpg.Connection, endpoint: UUID, status: str
) -> None:
    """Resolving a letter changes the letter alone; a trigger does the rest."""
    delivery, other = await record(connection, endpoint), await record(connection, endpoint)
    assert delivery
    assert other
    for each in (delivery, other):
        await bury(connection, each)
    await connection.execute(
        "UPDATE dead_letters SET status = $2, resolved_at = now() WHERE delivery_id = $1", delivery, status
    )
    assert not (await find(connection, delivery))["dead_lettered"]
    assert (await find(connection, other))["dead_lettered"]
