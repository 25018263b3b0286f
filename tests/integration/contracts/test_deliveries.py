"""The webhook deliveries that a transition records, in its own transaction."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest

from chassis.jobs.row import JobRow
from darkroom_contracts.states import JobStatus
from tests.integration.contracts.rows import TENANT, insert_job

HOOK = "https://Example.com/hook?token=1"
SUBMITTED = """
    UPDATE jobs SET webhook_url = $2, webhook_events = $3, metadata = '{"team": "red", "for": "Ada"}',
        overrides = '{"input": {"num_inference_steps": 9}}',
        input = '{"prompt": "a lighthouse", "negative_prompt": "", "num_inference_steps": 20, "guidance_scale": 7.5,
            "scheduler": "ddim", "width": 64, "height": 64, "seed": 7, "num_images": 1, "output_format": "png"}'
    WHERE id = $1
"""
STANDING = """
    INSERT INTO webhook_endpoints (tenant_id, url, events, metadata_filter, status)
    SELECT id, 'https://standing.example.com:8443/', $1, $2, $3 FROM tenants WHERE name = 'default' RETURNING id
"""
CLAIM = """
    UPDATE jobs SET status = 'running', attempt = attempt + 1, worker = 'ansel', started_at = now(),
        next_attempt_at = NULL, lease_token = gen_random_uuid(), lease_expires_at = now() + interval '1 minute'
    WHERE id = $1
"""
RETRY = """
    SELECT return_job(id, lease_token, 'retried', '{"code": "storage_error"}', '10sa', '1 second')
    FROM jobs WHERE id = $1
"""
END = """
    SELECT finish_job(id, generation, lease_token, $2::text, '{"code": "pipeline_error"}',
        CASE $2 WHEN 'succeeded' THEN '[]'::jsonb END)
    FROM jobs WHERE id = $1
"""
REPLAY = """
    UPDATE jobs SET status = 'queued', generation = generation + 1, attempt = 0, completed_at = NULL, outputs = NULL,
        error = NULL, dead_lettered = false WHERE id = $1
"""
ALL = ["job.canceled", "job.expired", "job.failed", "job.succeeded"]


async def submitted(connection: asyncpg.Connection, url: str | None = HOOK, events: list[str] = ALL) -> UUID:
    """Insert a queued job that asks for webhooks."""
    job_id = await insert_job(connection, JobStatus.QUEUED)
    await connection.execute(SUBMITTED, job_id, url, events)
    return job_id


async def standing(connection: asyncpg.Connection, *events: str, metadata: str = "{}", status: str = "enabled") -> UUID:
    """Insert a standing endpoint of the default tenant."""
    await connection.execute(TENANT)
    return UUID(str(await connection.fetchval(STANDING, list(events), metadata, status)))


async def cancel(connection: asyncpg.Connection, job_id: UUID) -> None:
    assert await connection.fetchval("SELECT finish_job($1, 1, NULL, 'canceled')", job_id)


async def deliveries(connection: asyncpg.Connection) -> list[Any]:
    return list(await connection.fetch("SELECT * FROM webhook_deliveries ORDER BY url"))


async def test_a_tenant_has_one_implicit_endpoint(connection: asyncpg.Connection) -> None:
    """It is made with the tenant, which costs neither submissions nor transitions anything."""
    tenant_id = await connection.fetchval("INSERT INTO tenants (name) VALUES ('fresh') RETURNING id")
    (endpoint,) = await connection.fetch("SELECT * FROM webhook_endpoints WHERE tenant_id = $1", tenant_id)
    assert (endpoint["implicit"], endpoint["url"], endpoint["status"]) == (True, None, "enabled")
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.execute("INSERT INTO webhook_endpoints (tenant_id, implicit) VALUES ($1, true)", tenant_id)


async def test_the_implicit_endpoint_gets_what_the_submission_asked_for(connection: asyncpg.Connection) -> None:
    """The delivery goes to the job's URL and is due at once. Until the job changes, its row is the content."""
    job_id = await submitted(connection)
    await cancel(connection, job_id)
    (delivery,) = await deliveries(connection)
    assert (delivery["job_id"], delivery["job_version"], delivery["event"]) == (job_id, 2, "job.canceled")
    assert (delivery["url"], delivery["origin"]) == (HOOK, "https://example.com:443")
    assert (delivery["status"], delivery["attempt"], delivery["body"]) == ("pending", 0, None)
    assert await connection.fetchval("SELECT implicit FROM webhook_endpoints WHERE id = $1", delivery["endpoint_id"])
    assert delivery["snapshot"] is None
    await connection.execute("UPDATE jobs SET metadata = '{}' WHERE id = $1", job_id)
    (delivery,) = await deliveries(connection)
    job = msgspec.json.decode(delivery["snapshot"], type=JobRow)
    assert (job.id, job.status, job.version, job.metadata["for"]) == (job_id, JobStatus.CANCELED, 2, "Ada")
    assert (job.input.num_inference_steps, job.edits) == (9, {"input": {"num_inference_steps": 9}})


async def test_the_snapshot_has_every_field_of_a_row(connection: asyncpg.Connection) -> None:
    """A field that is added to the row must be added to the snapshot."""
    await submitted(connection)
    snapshot = await connection.fetchval("SELECT job_snapshot(jobs) FROM jobs")
    assert set(msgspec.json.decode(snapshot)) == set(JobRow.__struct_fields__)


@pytest.mark.parametrize(("url", "events"), [(None, ALL), (HOOK, ["job.succeeded"])])
async def test_nothing_is_recorded_unasked(connection: asyncpg.Connection, url: str | None, events: list[str]) -> None:
    """Without a URL, or for an event that the submission left out, there is no delivery."""
    await cancel(connection, await submitted(connection, url, events))
    assert await deliveries(connection) == []


async def test_standing_endpoints_filter_by_event_and_metadata(connection: asyncpg.Connection) -> None:
    """A paused one records deliveries, which wait; a disabled or deleted one does not."""
    wanted = {
        await standing(connection, "job.canceled"),
        await standing(connection, "job.canceled", "job.failed", metadata='{"team": "red"}'),
        await standing(connection, "job.canceled", status="paused"),
    }
    await standing(connection, "job.failed")
    await standing(connection, "job.canceled", metadata='{"team": "blue"}')
    deleted = await standing(connection, "job.canceled")
    await connection.execute("UPDATE webhook_endpoints SET deleted_at = now() WHERE id = $1", deleted)
    disabled = await standing(connection, "job.canceled")
    await connection.execute(
        "UPDATE webhook_endpoints SET status = 'disabled', disabled_reason = 'gone' WHERE id = $1", disabled
    )
    await cancel(connection, await submitted(connection, None))
    rows = await deliveries(connection)
    assert {row["endpoint_id"] for row in rows} == wanted
    assert {row["origin"] for row in rows} == {"https://standing.example.com:8443"}


async def test_nobody_else_hears_of_a_job(connection: asyncpg.Connection) -> None:
    """Neither another tenant's endpoint nor an operators' one, which could read prompts, receives it."""
    job_id = await submitted(connection, None)
    await connection.execute("INSERT INTO tenants (name) VALUES ('other')")
    await connection.execute(
        "INSERT INTO webhook_endpoints (tenant_id, url, events) SELECT id, $1, $2 FROM tenants WHERE name = 'other'",
        HOOK,
        ALL,
    )
    await connection.execute(
        "INSERT INTO webhook_endpoints (audience, url, events) VALUES ('operator', $1, $2)", HOOK, ALL
    )
    await cancel(connection, job_id)
    assert await deliveries(connection) == []


async def test_a_delivery_is_born_in_the_transaction_of_the_transition(connection: asyncpg.Connection) -> None:
    """What is rolled back was never recorded."""
    job_id = await submitted(connection)
    transaction = connection.transaction()
    await transaction.start()
    await cancel(connection, job_id)
    assert len(await deliveries(connection)) == 1
    await transaction.rollback()
    assert await deliveries(connection) == []


async def test_a_transition_that_is_refused_is_no_event(connection: asyncpg.Connection) -> None:
    """A holder that lost its lease, another generation, and an end of a job that has ended record nothing."""
    job_id = await submitted(connection)
    await connection.execute(CLAIM, job_id)
    refused = "SELECT finish_job($1, $2, $3, 'failed', '{}')"
    token = await connection.fetchval("SELECT lease_token FROM jobs")
    for generation, held in ((1, uuid4()), (1, None), (2, token)):
        assert not await connection.fetchval(refused, job_id, generation, held)
    assert await deliveries(connection) == []
    assert await connection.fetchval(END, job_id, "succeeded")
    assert not await connection.fetchval(refused, job_id, 1, token)
    assert [row["event"] for row in await deliveries(connection)] == ["job.succeeded"]


async def test_each_end_of_a_job_is_an_event_and_a_return_to_the_queue_is_none(connection: asyncpg.Connection) -> None:
    """A job that fails, is replayed, retried and then succeeds has two deliveries, with rising versions."""
    job_id = await submitted(connection)
    for ends in ("failed", "succeeded"):
        await connection.execute(CLAIM, job_id)
        assert await connection.fetchval(RETRY, job_id) == "queued"
        assert len(await deliveries(connection)) == (ends == "succeeded")
        await connection.execute(CLAIM, job_id)
        assert await connection.fetchval(END, job_id, ends)
        if ends == "failed":
            await connection.execute(REPLAY, job_id)
    rows = sorted(await deliveries(connection), key=lambda row: int(row["job_version"]))
    assert [(row["event"], row["job_version"]) for row in rows] == [("job.failed", 5), ("job.succeeded", 10)]


async def test_a_lone_transition_notifies(connection: asyncpg.Connection, database: str) -> None:
    """The notification arrives with the commit, and only if a delivery was recorded."""
    heard: asyncio.Queue[str] = asyncio.Queue()
    listener = await asyncpg.connect(database)
    await listener.add_listener("darkroom_webhooks", lambda *_: heard.put_nowait("delivery"))
    await cancel(connection, await submitted(connection, None))
    await connection.execute("SELECT pg_notify('darkroom_webhooks', '')")
    await asyncio.wait_for(heard.get(), 10)
    assert heard.empty()
    await cancel(connection, await submitted(connection))
    await asyncio.wait_for(heard.get(), 10)
    await listener.close()


async def test_of_concurrent_transitions_one_notifies(connection: asyncpg.Connection, database: str) -> None:
    """Notifying commits happen one by one; the others must not wait for them."""
    first, second = await submitted(connection), await submitted(connection)
    other = await asyncpg.connect(database)
    transaction = other.transaction()
    await transaction.start()
    await cancel(other, first)
    locks = """
        SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database
        WHERE locktype = 'advisory' AND granted AND datname = current_database()
    """
    async with connection.transaction():
        await cancel(connection, second)
        assert await connection.fetchval(locks) == 1
    await transaction.rollback()
    await other.close()


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://example.com", "https://example.com:443"),
        ("http://EXAMPLE.com/A?b#c", "http://example.com:80"),
        ("https://example.com:8443/x:1", "https://example.com:8443"),
        ("https://[2001:db8::1]/", "https://[2001:db8::1]:443"),
        ("https://[2001:db8::1]:444?x", "https://[2001:db8::1]:444"),
        ("https://example.com?x:1", "https://example.com:443"),
        ("https://example.com#x", "https://example.com:443"),
        ("not a URL", "not a url//:80"),
        (f"https://{'x' * 2000}/", f"https://{'x' * 492}"),
    ],
)
async def test_an_origin_is_scheme_host_and_port(connection: asyncpg.Connection, url: str, origin: str) -> None:
    """Deliveries to one receiver share an origin, however its URL is spelled; no URL breaks a transition."""
    assert await connection.fetchval("SELECT url_origin($1)", url) == origin


async def test_an_event_reaches_an_endpoint_once(connection: asyncpg.Connection) -> None:
    """A second delivery of a job's version to an endpoint can't be written."""
    await cancel(connection, await submitted(connection))
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.execute(
            "INSERT INTO webhook_deliveries (endpoint_id, job_id, job_version, event, url, origin)"
            " SELECT endpoint_id, job_id, job_version, event, url, origin FROM webhook_deliveries"
        )
