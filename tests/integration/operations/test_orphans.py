"""Messages whose job this database does not know: kept whatever they hold, and made into jobs again by a replay."""

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chassis.postgres import Database
from contracts.messages import v1, v2
from contracts.models import Catalogue
from operations.ingest import Ingested, ingest
from operations.replay import Replayed, ReplayRefusedError, replay
from operations.retention import store as retention
from tests.integration.operations.commands import darkroom
from tests.integration.operations.jobs import INPUT, TRACEPARENT, Jobs, complete_message, message
from tests.support.ids import aged_id
from tests.support.stack import MODEL_ENTRY

ACTOR = "command:test"
DELIVERY_LIMIT = {"x-death": [{"reason": "delivery_limit", "queue": "darkroom.render.tiny.v1", "count": 1}]}
REJECTED = {"x-death": [{"reason": "rejected", "queue": "darkroom.render.tiny.v1", "count": 1}]}
HASH = hashlib.sha256(b"the body").digest()


@pytest.fixture
def tiny(catalogue: Catalogue) -> Catalogue:
    """A catalogue with the model that the messages ask for."""
    model = msgspec.toml.decode(MODEL_ENTRY.format(name="tiny"))
    return msgspec.convert(model, Catalogue)


async def _orphan(pool: Database, jobs: Jobs, **changes: Any) -> Any:
    """The letter of a message whose job is unknown."""
    job_id = changes.pop("job_id", None) or aged_id(timedelta(hours=3))
    body = complete_message(job_id, **({"tenant": jobs.tenant} | changes))
    assert await ingest(pool, body, REJECTED) is Ingested.ORPHANED
    return await jobs.letter(job_id)


# --- ingest ---


@pytest.mark.parametrize("headers", [REJECTED, DELIVERY_LIMIT, {}, {"x-death": "garbage"}])
async def test_a_message_without_a_job_is_kept(pool: Database, jobs: Jobs, headers: dict[str, Any]) -> None:
    """Whatever the broker's reason: exact bytes, headers, and what the letter is found by. Once, however often."""
    job_id = aged_id()
    body = complete_message(job_id, jobs.tenant, generation=3)
    assert await ingest(pool, body, headers) is Ingested.ORPHANED
    assert await ingest(pool, body, headers) is Ingested.DROPPED
    [letter] = await jobs.fetch("SELECT * FROM dead_letters")
    assert (letter["kind"], letter["status"], letter["reason"]) == ("orphan", "open", "orphan")
    assert (letter["job_id"], letter["generation"], letter["model"]) == (job_id, 3, "tiny")
    assert (letter["tenant_id"], letter["body"]) == (jobs.tenant, body)
    assert msgspec.json.decode(letter["headers"]) == headers
    error = msgspec.json.decode(letter["error"])
    assert (error["code"], error["stage"]) == ("orphan", "delivery")
    assert "backup" in error["message"]


async def test_orphans_are_failures_of_one_kind(pool: Database, jobs: Jobs) -> None:
    """They share a fingerprint."""
    letters = [await _orphan(pool, jobs) for _ in range(2)]
    assert len({letter["fingerprint"] for letter in letters}) == 1


async def test_version_1_is_kept_too(pool: Database, jobs: Jobs) -> None:
    """It names no tenant, and carries nothing to render."""
    job_id = aged_id()
    assert await ingest(pool, message(job_id), REJECTED) is Ingested.ORPHANED
    letter = await jobs.letter(job_id)
    assert (letter["kind"], letter["tenant_id"], letter["body"]) == ("orphan", None, message(job_id))


async def test_an_unknown_tenant_is_not_recorded(pool: Database, jobs: Jobs) -> None:
    """The bytes tell whose it was."""
    assert (await _orphan(pool, jobs, tenant=uuid4()))["tenant_id"] is None


async def test_one_orphan_twice_at_once_is_one_letter(pool: Database, jobs: Jobs) -> None:
    """Two operations processes that hold copies of one message write one letter."""
    body = complete_message(aged_id(), jobs.tenant)
    results = await asyncio.gather(*(ingest(pool, body, REJECTED) for _ in range(4)))
    assert sorted(results) == [Ingested.DROPPED] * 3 + [Ingested.ORPHANED]


async def test_each_generation_is_an_orphan_of_its_own(pool: Database, jobs: Jobs) -> None:
    """A job that was replayed before the restore may have left several messages."""
    job_id = aged_id()
    for generation in (1, 2):
        await _orphan(pool, jobs, job_id=job_id, generation=generation)
    assert await jobs.value("SELECT count(*) FROM dead_letters") == 2


@pytest.mark.parametrize("headers", [REJECTED, DELIVERY_LIMIT])
async def test_a_purged_job_leaves_no_orphan(pool: Database, jobs: Jobs, headers: dict[str, Any]) -> None:
    """An id from before what retention removed names a job that is over; one from after it does not."""
    await jobs.execute("UPDATE instance SET purged_before = now() - interval '90 days'")
    old, young = aged_id(timedelta(days=90, seconds=1)), aged_id(timedelta(days=90, seconds=-60))
    assert await ingest(pool, complete_message(old, jobs.tenant), headers) is Ingested.DROPPED
    assert await ingest(pool, complete_message(young, jobs.tenant), headers) is Ingested.ORPHANED


async def test_an_id_without_a_time_is_an_orphan(pool: Database, jobs: Jobs) -> None:
    """Retention can't have removed it."""
    await jobs.execute("UPDATE instance SET purged_before = now()")
    assert await ingest(pool, complete_message(uuid4(), jobs.tenant), REJECTED) is Ingested.ORPHANED


async def test_retention_never_passes_an_orphan_that_is_being_recorded(
    pool: Database, jobs: Jobs, database: str
) -> None:
    """Its line waits for the orphan's commit, and then stops before it."""
    job_id = aged_id(timedelta(days=100))
    async with Jobs.connected(database) as others:
        await others.execute("BEGIN")
        await others.execute("SELECT FROM instance FOR SHARE")
        await others.execute(
            "INSERT INTO dead_letters (kind, job_id, generation, model, reason, error, fingerprint, body)"
            " VALUES ('orphan', $1, 1, 'tiny', 'orphan', '{}', '', '')",
            job_id,
        )
        async with pool.transaction() as connection:
            advancing = asyncio.create_task(retention.advance_purge(connection, timedelta(days=90)))
            await asyncio.sleep(0)
            await others.execute("COMMIT")
            await advancing
    assert await jobs.value("SELECT purged_before <= uuid_extract_timestamp($1) FROM instance", job_id)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
stored_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=50)
scalars = st.one_of(texts, st.binary(max_size=20), st.integers(), st.booleans(), st.none(), st.floats(), st.datetimes())
tables = st.recursive(
    st.dictionaries(texts, scalars, max_size=3),
    lambda inner: st.dictionaries(texts, st.one_of(inner, st.lists(inner, max_size=2)), max_size=2),
    max_leaves=5,
)
inputs = st.builds(
    type(INPUT),
    prompt=texts,
    negative_prompt=texts,
    num_inference_steps=st.integers(),
    guidance_scale=st.floats(allow_nan=False, allow_infinity=False),
    scheduler=texts,
    width=st.integers(),
    height=st.integers(),
    seed=st.integers(),
    num_images=st.integers(),
    output_format=st.sampled_from(["png", "jpeg", "webp"]),
)
moments = st.datetimes(timezones=st.just(UTC))
complete = st.fixed_dictionaries(
    {
        "tenant": st.uuids(),
        "generation": st.integers(1, 2**31 - 1),
        "model": st.from_regex(r"\A[a-z0-9][a-z0-9-]{0,62}\Z"),
        "input": inputs,
        "metadata": st.dictionaries(texts, texts, max_size=5),
        "user_id": st.none() | stored_texts,
        "key_id": st.none() | stored_texts,
        "webhook_url": st.none() | stored_texts,
        "idempotency_key": st.none() | stored_texts,
        "body_hash": st.none() | st.binary(max_size=64),
        "priority": st.integers(),
        "cost": st.integers(),
        "ttl_seconds": st.integers(),
        "max_attempts": st.integers(),
        "created_at": moments,
        "expires_at": moments,
        "stamped_at": moments,
        "traceparent": stored_texts,
    }
)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(fields=complete, headers=tables)
async def test_an_orphan_never_stops_the_ingest(
    pool: Database, jobs: Jobs, fields: dict[str, Any], headers: dict[str, Any]
) -> None:
    """Odd unicode, unknown tenants, extreme numbers and times: it is recorded with its exact bytes."""
    body = complete_message(uuid4(), **fields)
    assert await ingest(pool, body, headers) in (Ingested.ORPHANED, Ingested.UNDECODABLE)
    assert await jobs.value("SELECT count(*) FROM dead_letters WHERE body = $1", body) == 1


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(trace=stored_texts, generation=st.integers(1, 2**31 - 1), headers=tables)
async def test_a_terse_orphan_never_stops_the_ingest(
    pool: Database, jobs: Jobs, trace: str, generation: int, headers: dict[str, Any]
) -> None:
    """A message of version 1 with anything in it."""
    body = v1.encode(v1.Render(uuid4(), generation, "tiny", trace))
    assert await ingest(pool, body, headers) is Ingested.ORPHANED
    assert await jobs.value("SELECT count(*) FROM dead_letters WHERE body = $1", body) == 1


async def test_a_huge_orphan_never_stops_the_ingest(pool: Database, jobs: Jobs) -> None:
    """Megabytes of prompt and metadata are bytes like others."""
    huge = {str(number): "\N{PARTY POPPER}" * 100 for number in range(10_000)}
    wanted = msgspec.structs.replace(INPUT, prompt="\x00" * 1_000_000)
    body = complete_message(aged_id(), jobs.tenant, metadata=huge, input=wanted)
    assert await ingest(pool, body, {"x-death": [huge]}) is Ingested.ORPHANED
    assert await jobs.value("SELECT count(*) FROM dead_letters WHERE body = $1", body) == 1


async def test_headers_nested_without_end_are_no_obstacle(pool: Database, jobs: Jobs) -> None:
    """What can't be written down is left out, and said so."""
    headers: dict[str, Any] = {}
    for _ in range(5000):
        headers = {"in": headers}
    job_id = aged_id()
    assert await ingest(pool, complete_message(job_id, jobs.tenant), headers) is Ingested.ORPHANED
    assert "unreadable" in (await jobs.letter(job_id))["headers"]


# --- replay ---


async def test_a_replayed_orphan_is_a_job_again(pool: Database, jobs: Jobs, tiny: Catalogue) -> None:
    """All that was asked for comes from the message; times to live begin anew, in the next generation."""
    created = datetime.now(UTC) - timedelta(hours=2)
    letter = await _orphan(
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
    assert tuple(audit) == (ACTOR, "dead_letter.replay", letter["id"])


async def test_its_end_closes_the_letter(pool: Database, jobs: Jobs, tiny: Catalogue) -> None:
    """As that of any replayed job; a new death is a letter of its own."""
    letter = await _orphan(pool, jobs)
    await replay(pool, letter["id"], ACTOR, lambda: tiny)
    await jobs.finish(letter["job_id"], await jobs.claim(letter["job_id"]), "failed")
    rows = await jobs.fetch("SELECT kind, generation, status FROM dead_letters ORDER BY generation")
    assert [tuple(row) for row in rows] == [("orphan", 1, "replayed"), ("job", 2, "open")]


async def test_late_copies_change_nothing(pool: Database, jobs: Jobs, tiny: Catalogue) -> None:
    """The message's other copies meet a job that moved on."""
    letter = await _orphan(pool, jobs)
    await replay(pool, letter["id"], ACTOR, lambda: tiny)
    for headers in (REJECTED, DELIVERY_LIMIT):
        assert await ingest(pool, letter["body"], headers) is Ingested.DROPPED
    assert (await jobs.row(letter["job_id"]))["status"] == "queued"
    assert await jobs.value("SELECT count(*) FROM dead_letters") == 1


async def test_only_the_latest_generation_is_replayed(pool: Database, jobs: Jobs, tiny: Catalogue) -> None:
    """It answers for the earlier ones, too."""
    job_id = aged_id()
    first = await _orphan(pool, jobs, job_id=job_id, generation=1)
    last = await _orphan(pool, jobs, job_id=job_id, generation=4)
    with pytest.raises(ReplayRefusedError, match=f"later generation .* replay dead letter {last['id']}"):
        await replay(pool, first["id"], ACTOR, lambda: tiny)
    assert (await replay(pool, last["id"], ACTOR, lambda: tiny)).generation == 5
    assert await jobs.value("SELECT count(*) FROM dead_letters WHERE status = 'replaying'") == 2
    await jobs.finish(job_id, await jobs.claim(job_id), "succeeded")
    assert await jobs.value("SELECT count(*) FROM dead_letters WHERE status = 'replayed'") == 2


async def test_replaying_an_orphan_twice_runs_once(pool: Database, jobs: Jobs, tiny: Catalogue) -> None:
    """At once or one after the other."""
    letter = await _orphan(pool, jobs, idempotency_key="a-key", body_hash=HASH)
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
        ({"input": msgspec.structs.replace(INPUT, prompt="")}, "could be submitted"),
        ({"input": msgspec.structs.replace(INPUT, prompt="a\x00b")}, "could be submitted"),
        ({"ttl_seconds": 10**9}, "could be submitted"),
        ({"deadline_seconds": 0}, "could be submitted"),
        ({"webhook_url": "http://user:password@example.com/"}, "could be submitted"),
        ({"webhook_url": "ftp://example.com/"}, "could be submitted"),
        ({"metadata": {"key with spaces": ""}}, "could be submitted"),
        ({"metadata": {"key": "\x00"}}, "could be submitted"),
        ({"user_id": ""}, "could be submitted"),
        ({"idempotency_key": "with space", "body_hash": HASH}, "Idempotency-Key that could not have been sent"),
        ({"idempotency_key": "no-hash"}, "Idempotency-Key that could not have been sent"),
        ({"priority": 2**15}, "out of bounds"),
        ({"generation": 2**31 - 1}, "out of bounds"),
        ({"tenant": UUID(int=7)}, "there is no tenant 00000000-0000-0000-0000-000000000007"),
    ],
)
async def test_what_could_not_be_submitted_is_not_replayed(
    pool: Database, jobs: Jobs, tiny: Catalogue, changes: dict[str, Any], why: str
) -> None:
    """Today's bounds decide, and the refusal says which; nothing is left of the try."""
    letter = await _orphan(pool, jobs, **changes)
    with pytest.raises(ReplayRefusedError, match=why):
        await replay(pool, letter["id"], ACTOR, lambda: tiny)
    left = "SELECT (SELECT count(*) FROM jobs) + (SELECT count(*) FROM outbox) + (SELECT count(*) FROM audit_log)"
    assert await jobs.value(left) == 0
    assert (await jobs.letter(letter["job_id"]))["status"] == "open"


async def test_a_terse_orphan_is_not_replayed(pool: Database, jobs: Jobs, tiny: Catalogue) -> None:
    """A message of version 1 does not say what to render."""
    job_id = aged_id()
    await ingest(pool, message(job_id), REJECTED)
    with pytest.raises(ReplayRefusedError, match="is of version 1"):
        await replay(pool, (await jobs.letter(job_id))["id"], ACTOR, lambda: tiny)


async def test_a_key_that_was_sent_again_stays_with_its_new_job(pool: Database, jobs: Jobs, tiny: Catalogue) -> None:
    """The client did not wait for the operator; to render both would be to render twice."""
    letter = await _orphan(pool, jobs, idempotency_key="a-key", body_hash=HASH)
    newer = await jobs.queued(idempotency_key="'a-key'")
    await jobs.execute("INSERT INTO idempotency_keys VALUES ($1, 'a-key', $2, $3)", jobs.tenant, HASH, newer)
    with pytest.raises(ReplayRefusedError, match=f"Idempotency-Key stands for job {newer}"):
        await replay(pool, letter["id"], ACTOR, lambda: tiny)
    assert await jobs.row(letter["job_id"]) is None
    assert await jobs.value("SELECT job_id FROM idempotency_keys") == newer


async def test_a_purged_orphan_is_not_replayed(pool: Database, jobs: Jobs, tiny: Catalogue) -> None:
    """Its id is answered 410 to everybody."""
    letter = await _orphan(pool, jobs)
    await jobs.execute("UPDATE instance SET purged_before = now()")
    with pytest.raises(ReplayRefusedError, match="removed for its age"):
        await replay(pool, letter["id"], ACTOR, lambda: tiny)


async def test_a_discarded_orphan_is_not_replayed(pool: Database, jobs: Jobs, tiny: Catalogue) -> None:
    """It was looked at and given up."""
    letter = await _orphan(pool, jobs)
    await jobs.execute("UPDATE dead_letters SET status = 'discarded', resolved_at = now()")
    with pytest.raises(ReplayRefusedError, match="closed"):
        await replay(pool, letter["id"], ACTOR, lambda: tiny)
    assert await jobs.row(letter["job_id"]) is None


@pytest.fixture
def command_settings(database: str, tmp_path: Path) -> dict[str, str]:
    catalogue = tmp_path / "models.toml"
    catalogue.write_text(MODEL_ENTRY.format(name="tiny"))
    return {"DARKROOM_DATABASE_URL": database, "DARKROOM_MODELS_FILE": str(catalogue)}


async def test_an_operator_lists_shows_and_replays_an_orphan(
    pool: Database, jobs: Jobs, command_settings: dict[str, str]
) -> None:
    """The command tells it from other letters, shows its message, and replays it once."""
    letter = await _orphan(pool, jobs)
    listed = await darkroom("dead-letters", "list", **command_settings)
    assert str(letter["id"]) in listed.out
    assert "orphan" in listed.out
    shown = await darkroom("dead-letters", "show", str(letter["id"]), **command_settings)
    assert "not in this database" in shown.out
    whole = (await darkroom("dead-letters", "show", str(letter["id"]), "--json", **command_settings)).json
    assert msgspec.json.decode(whole["body_text"], type=v2.Render).input == INPUT
    first, second = [await darkroom("dead-letters", "replay", str(letter["id"]), **command_settings) for _ in range(2)]
    assert first.out == f"Job {letter['job_id']} is queued again, as generation 2.\n"
    assert (second.exit_code, "replayed already" in second.err) == (1, True)


async def test_a_catalogue_that_is_missing_is_one_sentence(
    pool: Database, jobs: Jobs, command_settings: dict[str, str]
) -> None:
    """Without it an orphan can't be held to today's bounds."""
    letter = await _orphan(pool, jobs)
    nowhere = command_settings | {"DARKROOM_MODELS_FILE": "/nowhere/models.toml"}
    finished = await darkroom("dead-letters", "replay", str(letter["id"]), **nowhere)
    assert finished.exit_code == 1
    assert "/nowhere/models.toml can't be read" in finished.err
