"""The content of a published message: the whole job."""

from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from chassis.broker import Broker
from chassis.postgres import Database
from darkroom_contracts.api import JobInput
from darkroom_contracts.messages import decode_render, encode_render
from darkroom_contracts.messages.v2 import Render
from darkroom_contracts.topology import Lanes, work_queue
from darkroom_contracts.webhooks import WebhookEvent
from gateway.declarer import Declarer
from gateway.publishers import Publishers
from gateway.relay import Relay
from gateway.store import JobStore, OutboxStore
from gateway.submission import Acceptance, Submission, hash_body
from tests.integration.gateway.outbox import published
from tests.integration.gateway.submissions import TRACEPARENT, make_tenant, submission

REVISION = "0123456789abcdef0123456789abcdef01234567"
MODELS = ("tiny", "aura")


@pytest.fixture
async def relay(pool: Database, broker: Broker) -> Relay:
    declarer = Declarer(broker, MODELS, Lanes.of((1,)))
    await declarer.run_once()
    return Relay(pool, OutboxStore({"tiny": REVISION}), Publishers(broker), declarer)


async def submitted(store: JobStore, wanted: Submission) -> Acceptance:
    return (await store.insert([wanted]))[wanted.id]


async def body(relay: Relay, vhost: str, model: str = "tiny") -> bytes:
    await relay.run_once()
    (message,) = await published(vhost, work_queue(model))
    return message.body


async def test_a_message_says_all_of_its_job(
    relay: Relay, store: JobStore, rows: asyncpg.Connection, vhost: str
) -> None:
    """Its bytes are those of the contract's encoder for the submission."""
    tenant, other = await make_tenant(rows), UUID(int=7)
    wanted = JobInput('a "lighthouse" \u2028 in Åland\t\x01', "", 4, 7.0, "ddim", 64, 128, 2**32 - 1, 2, "webp", 3)
    asked = submission(
        tenant,
        "k-1",
        b'{"a": 1}',
        key_id="AbCdEfGhIjKl",
        user_id="ada",
        input=wanted,
        metadata={"für": "Ada \\ é", "b": ""},
        webhook_url="https://example.com/hook",
        webhook_events=(WebhookEvent.FAILED, WebhookEvent.SUCCEEDED),
        ttl_seconds=3600,
        deadline_seconds=7200,
        cost=wanted.cost,
        retried_from=other,
    )
    accepted = await submitted(store, asked)
    expected = Render(
        job_id=asked.id,
        generation=1,
        model="tiny",
        model_revision=REVISION,
        tenant_id=tenant,
        user_id="ada",
        key_id="AbCdEfGhIjKl",
        input=wanted,
        webhook_url="https://example.com/hook",
        webhook_events=(WebhookEvent.FAILED, WebhookEvent.SUCCEEDED),
        metadata={"b": "", "für": "Ada \\ é"},
        priority=0,
        cost=wanted.cost,
        created_at=accepted.created_at,
        expires_at=accepted.created_at + timedelta(hours=1),
        ttl_seconds=3600,
        deadline_seconds=7200,
        deadline_at=accepted.created_at + timedelta(hours=2),
        max_attempts=accepted.max_attempts,
        retried_from=other,
        idempotency_key="k-1",
        body_hash=hash_body(b'{"a": 1}'),
        instance_id=await rows.fetchval("SELECT id FROM instance"),
        stamped_at=await rows.fetchval("SELECT created_at FROM outbox"),
        traceparent=TRACEPARENT,
    )
    assert await body(relay, vhost) == encode_render(expected)


async def test_a_plain_jobs_message_leaves_out_what_it_has_not(
    relay: Relay, store: JobStore, rows: asyncpg.Connection, vhost: str
) -> None:
    """The same holds without key, webhook, deadline and pinned model."""
    asked = submission(await make_tenant(rows), model="aura", webhook_events=())
    accepted = await submitted(store, asked)
    expected = Render(
        job_id=asked.id,
        generation=1,
        model="aura",
        tenant_id=asked.tenant_id,
        input=asked.input,
        cost=asked.cost,
        created_at=accepted.created_at,
        expires_at=accepted.created_at + timedelta(seconds=60),
        ttl_seconds=60,
        max_attempts=accepted.max_attempts,
        instance_id=await rows.fetchval("SELECT id FROM instance"),
        stamped_at=await rows.fetchval("SELECT created_at FROM outbox"),
        traceparent=TRACEPARENT,
    )
    assert await body(relay, vhost, "aura") == encode_render(expected)


async def test_an_operators_edit_is_what_is_asked_for(
    relay: Relay, store: JobStore, rows: asyncpg.Connection, vhost: str
) -> None:
    """The message goes to the edited model, with the edited input."""
    asked = submission(await make_tenant(rows))
    await submitted(store, asked)
    await rows.execute("""UPDATE jobs SET overrides = '{"model": "aura", "input": {"num_inference_steps": 2}}'""")
    await rows.execute("SELECT enqueue_message(jobs) FROM jobs")
    message = decoded(await body(relay, vhost, "aura"))
    assert (message.model, message.input.num_inference_steps, message.input.prompt) == ("aura", 2, asked.input.prompt)


async def test_a_key_that_stands_for_another_job_lends_no_hash(
    relay: Relay, store: JobStore, rows: asyncpg.Connection, vhost: str
) -> None:
    """A key may expire and be used again while its first job still waits."""
    asked = submission(await make_tenant(rows), "k-1", b"first")
    await submitted(store, asked)
    await rows.execute("UPDATE idempotency_keys SET job_id = gen_random_uuid()")
    message = decoded(await body(relay, vhost))
    assert (message.idempotency_key, message.body_hash) == ("k-1", None)


def decoded(body: bytes) -> Render:
    message = decode_render(body)
    assert isinstance(message, Render)
    return message
