"""Replays of orphans: the job is made again from its message."""

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from chassis.postgres import Database
from darkroom_contracts.models import Catalogue
from operations.letters.ingest import Ingested, ingest
from operations.replays.outcome import Replayed, ReplayRefusedError
from operations.replays.replay import replay
from tests.integration.operations.jobs import INPUT, TRACEPARENT, Jobs, message
from tests.integration.operations.orphans import DELIVERY_LIMIT, REJECTED, record_orphan
from tests.support.ids import aged_id
from tests.support.stack import MODEL_ENTRY

ACTOR = "command:test"
HASH = hashlib.sha256(b"the body").digest()


@pytest.fixture
def tiny(catalogue: Catalogue) -> Catalogue:
    """Return a catalogue with the model that the messages ask for."""
    model = msgspec.toml.decode(MODEL_ENTRY.format(name="tiny"))
    return msgspec.convert(model, Catalogue)


async def test_a_replayed_orphan_is_a_job_again(pool: Database, jobs: Jobs, tiny: Catalogue) -> None:
    """The job has all fields of its message, a new time to live and deadline, and the next generation."""
    created = datetime.now(UTC) - timedelta(hours=2)
    letter = await record_orphan(
        pool,
        jobs,
        generation=2,
        user_id="ada",
        key_id="AbCdEfGhIjKl",
        webhook_url="https://example.com/hook",
        webhook_events=("job.failed",),
        metadata={"for": "Ada"},
        priority=3,
        created_at=created,
        ttl_seconds=60,
        deadline_seconds=120,
        retried_from=jobs.tenant,
        idempotency_key="a-key",
        body_hash=HASH,
    )
    job_id = letter["job_id"]
    assert await replay(pool, letter["id"], ACTOR, lambda: tiny) == Replayed(letter["id"], job_id, 3)
    row = await jobs.row(job_id)
    assert (row["status"], row["generation"], row["attempt"], row["tenant_id"]) == ("queued", 3, 0, jobs.tenant)
    assert msgspec.json.decode(row["input"], type=type(INPUT)) == INPUT
    assert (row["model"], row["cost"], row["priority"], row["max_attempts"]) == ("tiny", INPUT.cost, 3, 4)
    assert (row["user_id"], row["key_id"], row["retried_from"]) == ("ada", "AbCdEfGhIjKl", jobs.tenant)
    assert (row["webhook_url"], row["webhook_events"]) == ("https://example.com/hook", ["job.failed"])
    assert msgspec.json.decode(row["metadata"]) == {"for": "Ada"}
    assert (row["created_at"], row["traceparent"]) == (created, TRACEPARENT)
    assert row["queued_at"] > created
    assert (row["ttl"], row["deadline"]) == (timedelta(seconds=60), timedelta(seconds=120))
    assert row["expires_at"] - row["queued_at"] == row["ttl"]
    assert row["deadline_at"] - row["queued_at"] == row["deadline"]
    assert row["announced_at"] >= row["queued_at"]
    [key] = await jobs.fetch("SELECT tenant_id, key, body_hash, job_id FROM idempotency_keys")
    assert tuple(key) == (jobs.tenant, "a-key", HASH, job_id)
    [sent] = await jobs.fetch("SELECT job_id, generation, model, lane FROM outbox")
    assert tuple(sent) == (job_id, 3, "tiny", None)
    assert (await jobs.letter(job_id))["status"] == "replaying"
    [audit] = await jobs.fetch("SELECT actor, action, subject FROM audit_log")
    assert tuple(audit) == (ACTOR, "dead_letter.replay", str(letter["id"]))


async def test_its_end_closes_the_letter(pool: Database, jobs: Jobs, tiny: Catalogue) -> None:
    """The end of the job closes the letter; a new failure has a letter of its own."""
    letter = await record_orphan(pool, jobs)
    await replay(pool, letter["id"], ACTOR, lambda: tiny)
    await jobs.finish(letter["job_id"], await jobs.claim(letter["job_id"]), "failed")
    rows = await jobs.fetch("SELECT kind, generation, status FROM dead_letters ORDER BY generation")
    assert [tuple(row) for row in rows] == [("orphan", 1, "replayed"), ("job", 2, "open")]


async def test_late_copies_change_nothing(pool: Database, jobs: Jobs, tiny: Catalogue) -> None:
    """Late copies of the message are dropped."""
    letter = await record_orphan(pool, jobs)
    await replay(pool, letter["id"], ACTOR, lambda: tiny)
    for headers in (REJECTED, DELIVERY_LIMIT):
        assert await ingest(pool, letter["body"], headers) is Ingested.DROPPED
    assert (await jobs.row(letter["job_id"]))["status"] == "queued"
    assert await jobs.value("SELECT count(*) FROM dead_letters") == 1


async def test_only_the_latest_generation_is_replayed(pool: Database, jobs: Jobs, tiny: Catalogue) -> None:
    """Only the letter of the latest generation is replayed; it covers the earlier ones."""
    job_id = aged_id()
    first = await record_orphan(pool, jobs, job_id=job_id, generation=1)
    last = await record_orphan(pool, jobs, job_id=job_id, generation=4)
    with pytest.raises(ReplayRefusedError, match=f"later generation .* replay dead letter {last['id']}"):
        await replay(pool, first["id"], ACTOR, lambda: tiny)
    assert await replay(pool, last["id"], ACTOR, lambda: tiny) == Replayed(last["id"], job_id, 5)
    assert await jobs.value("SELECT count(*) FROM dead_letters WHERE status = 'replaying'") == 2
    await jobs.finish(job_id, await jobs.claim(job_id), "succeeded")
    assert await jobs.value("SELECT count(*) FROM dead_letters WHERE status = 'replayed'") == 2


async def test_replaying_an_orphan_twice_runs_once(pool: Database, jobs: Jobs, tiny: Catalogue) -> None:
    """Of several replays, concurrent or in sequence, one queues the job."""
    letter = await record_orphan(pool, jobs, idempotency_key="a-key", body_hash=HASH)
    replays = (replay(pool, letter["id"], ACTOR, lambda: tiny) for _ in range(4))
    results = await asyncio.gather(*replays, return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["ReplayRefusedError"] * 3 + ["Replayed"]
    with pytest.raises(ReplayRefusedError, match=r"replayed already: job .* is queued in generation 2"):
        await replay(pool, letter["id"], ACTOR, lambda: tiny)
    assert await jobs.value("SELECT count(*) FROM outbox") == 1
    assert await jobs.value("SELECT count(*) FROM audit_log") == 1


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"model": "gone"}, "asks for the model gone"),
        ({"input": msgspec.structs.replace(INPUT, width=4096)}, "asks for width that must lie between"),
        ({"input": msgspec.structs.replace(INPUT, scheduler="heun")}, "asks for scheduler that must be one of"),
        ({"input": msgspec.structs.replace(INPUT, prompt="")}, "accepted as a submission"),
        ({"input": msgspec.structs.replace(INPUT, prompt="a\x00b")}, "accepted as a submission"),
        ({"ttl_seconds": 10**9}, "accepted as a submission"),
        ({"deadline_seconds": 0}, "accepted as a submission"),
        ({"webhook_url": "http://user:password@example.com/"}, "accepted as a submission"),
        ({"webhook_url": "ftp://example.com/"}, "accepted as a submission"),
        ({"webhook_url": "https://127.0.0.1/"}, "has a webhook_url that must not name an address of the loopback"),
        ({"webhook_url": "https://0x7f.1/"}, "has a webhook_url that must write an IPv4 address"),
        ({"webhook_url": "http://example.com/"}, "has a webhook_url that must begin with https"),
        ({"metadata": {"key with spaces": ""}}, "accepted as a submission"),
        ({"metadata": {"key": "\x00"}}, "accepted as a submission"),
        ({"user_id": ""}, "accepted as a submission"),
        ({"idempotency_key": "with space", "body_hash": HASH}, "has an invalid Idempotency-Key"),
        ({"idempotency_key": "no-hash"}, "has an invalid Idempotency-Key"),
        ({"priority": 2**15}, "out of bounds"),
        ({"generation": 2**31 - 1}, "out of bounds"),
        ({"tenant": UUID(int=7)}, "there is no tenant 00000000-0000-0000-0000-000000000007"),
    ],
)
async def test_what_could_not_be_submitted_is_not_replayed(
    pool: Database, jobs: Jobs, tiny: Catalogue, changes: dict[str, Any], why: str
) -> None:
    """A message beyond the current bounds is refused with the reason, and nothing changes."""
    letter = await record_orphan(pool, jobs, **changes)
    with pytest.raises(ReplayRefusedError, match=why):
        await replay(pool, letter["id"], ACTOR, lambda: tiny)
    left = "SELECT (SELECT count(*) FROM jobs) + (SELECT count(*) FROM outbox) + (SELECT count(*) FROM audit_log)"
    assert await jobs.value(left) == 0
    assert (await jobs.letter(letter["job_id"]))["status"] == "open"


async def test_a_terse_orphan_is_not_replayed(pool: Database, jobs: Jobs, tiny: Catalogue) -> None:
    """A message of version 1, which does not carry its job, is refused."""
    job_id = aged_id()
    await ingest(pool, message(job_id), REJECTED)
    with pytest.raises(ReplayRefusedError, match="has version 1"):
        await replay(pool, (await jobs.letter(job_id))["id"], ACTOR, lambda: tiny)


async def test_a_key_that_was_sent_again_stays_with_its_new_job(pool: Database, jobs: Jobs, tiny: Catalogue) -> None:
    """The replay is refused if the Idempotency-Key refers to a job that was submitted since."""
    letter = await record_orphan(pool, jobs, idempotency_key="a-key", body_hash=HASH)
    newer = await jobs.queued(idempotency_key="'a-key'")
    await jobs.execute("INSERT INTO idempotency_keys VALUES ($1, 'a-key', $2, $3)", jobs.tenant, HASH, newer)
    with pytest.raises(ReplayRefusedError, match=f"Idempotency-Key refers to job {newer}"):
        await replay(pool, letter["id"], ACTOR, lambda: tiny)
    assert await jobs.row(letter["job_id"]) is None
    assert await jobs.value("SELECT job_id FROM idempotency_keys") == newer


async def test_a_purged_orphan_is_not_replayed(pool: Database, jobs: Jobs, tiny: Catalogue) -> None:
    """An orphan whose id is older than `purged_before` is refused."""
    letter = await record_orphan(pool, jobs)
    await jobs.execute("UPDATE instance SET purged_before = now()")
    with pytest.raises(ReplayRefusedError, match="purged because of its age"):
        await replay(pool, letter["id"], ACTOR, lambda: tiny)


async def test_a_discarded_orphan_is_not_replayed(pool: Database, jobs: Jobs, tiny: Catalogue) -> None:
    """A discarded letter is refused."""
    letter = await record_orphan(pool, jobs)
    await jobs.execute("UPDATE dead_letters SET status = 'discarded', resolved_at = now()")
    with pytest.raises(ReplayRefusedError, match="closed"):
        await replay(pool, letter["id"], ACTOR, lambda: tiny)
    assert await jobs.row(letter["job_id"]) is None
