"""The ingest of messages whose job is not in the database."""

import asyncio
from datetime import UTC, timedelta
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chassis.postgres import Database
from darkroom_contracts.messages import v1
from operations.letters.ingest import Ingested, ingest
from operations.retention import store as retention
from tests.integration.operations.jobs import INPUT, Jobs, complete_message, message
from tests.integration.operations.orphans import DELIVERY_LIMIT, REJECTED, record_orphan
from tests.support.ids import aged_id


@pytest.mark.parametrize("headers", [REJECTED, DELIVERY_LIMIT, {}, {"x-death": "garbage"}])
async def test_a_message_without_a_job_is_kept(pool: Database, jobs: Jobs, headers: dict[str, Any]) -> None:
    """An orphan is recorded once, with its exact bytes and headers, for every reason of its death."""
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
    """All orphans share a fingerprint."""
    letters = [await record_orphan(pool, jobs) for _ in range(2)]
    assert len({letter["fingerprint"] for letter in letters}) == 1


async def test_version_1_is_kept_too(pool: Database, jobs: Jobs) -> None:
    """An orphan of version 1 is recorded without a tenant."""
    job_id = aged_id()
    assert await ingest(pool, message(job_id), REJECTED) is Ingested.ORPHANED
    letter = await jobs.letter(job_id)
    assert (letter["kind"], letter["tenant_id"], letter["body"]) == ("orphan", None, message(job_id))


async def test_an_unknown_tenant_is_not_recorded(pool: Database, jobs: Jobs) -> None:
    """An orphan of a tenant that does not exist is recorded without a tenant."""
    assert (await record_orphan(pool, jobs, tenant=uuid4()))["tenant_id"] is None


async def test_one_orphan_twice_at_once_is_one_letter(pool: Database, jobs: Jobs) -> None:
    """Concurrent ingests of copies of an orphan write one letter."""
    body = complete_message(aged_id(), jobs.tenant)
    results = await asyncio.gather(*(ingest(pool, body, REJECTED) for _ in range(4)))
    assert sorted(results) == [Ingested.DROPPED] * 3 + [Ingested.ORPHANED]


async def test_each_generation_is_an_orphan_of_its_own(pool: Database, jobs: Jobs) -> None:
    """Every generation of an unknown job has an orphan letter of its own."""
    job_id = aged_id()
    for generation in (1, 2):
        await record_orphan(pool, jobs, job_id=job_id, generation=generation)
    assert await jobs.value("SELECT count(*) FROM dead_letters") == 2


@pytest.mark.parametrize("headers", [REJECTED, DELIVERY_LIMIT])
async def test_a_purged_job_leaves_no_orphan(pool: Database, jobs: Jobs, headers: dict[str, Any]) -> None:
    """A message is dropped if its id is older than `purged_before`, and recorded otherwise."""
    await jobs.execute("UPDATE instance SET purged_before = now() - interval '90 days'")
    old, young = aged_id(timedelta(days=90, seconds=1)), aged_id(timedelta(days=90, seconds=-60))
    assert await ingest(pool, complete_message(old, jobs.tenant), headers) is Ingested.DROPPED
    assert await ingest(pool, complete_message(young, jobs.tenant), headers) is Ingested.ORPHANED


async def test_an_id_without_a_time_is_an_orphan(pool: Database, jobs: Jobs) -> None:
    """An id without a time can't have been purged, so its message is recorded."""
    await jobs.execute("UPDATE instance SET purged_before = now()")
    assert await ingest(pool, complete_message(uuid4(), jobs.tenant), REJECTED) is Ingested.ORPHANED


async def test_retention_never_passes_an_orphan_that_is_being_recorded(
    pool: Database, jobs: Jobs, database: str
) -> None:
    """`purged_before` waits for the commit of an orphan, and does not pass its id."""
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
    """Unusual Unicode, unknown tenants, extreme numbers and times are recorded with their exact bytes."""
    body = complete_message(uuid4(), **fields)
    assert await ingest(pool, body, headers) in (Ingested.ORPHANED, Ingested.UNDECODABLE)
    assert await jobs.value("SELECT count(*) FROM dead_letters WHERE body = $1", body) == 1


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(trace=stored_texts, generation=st.integers(1, 2**31 - 1), headers=tables)
async def test_a_terse_orphan_never_stops_the_ingest(
    pool: Database, jobs: Jobs, trace: str, generation: int, headers: dict[str, Any]
) -> None:
    """A message of version 1 with arbitrary fields is recorded."""
    body = v1.encode(v1.Render(uuid4(), generation, "tiny", trace))
    assert await ingest(pool, body, headers) is Ingested.ORPHANED
    assert await jobs.value("SELECT count(*) FROM dead_letters WHERE body = $1", body) == 1


async def test_a_huge_orphan_never_stops_the_ingest(pool: Database, jobs: Jobs) -> None:
    """A message of several megabytes is recorded."""
    huge = {str(number): "\N{PARTY POPPER}" * 100 for number in range(10_000)}
    wanted = msgspec.structs.replace(INPUT, prompt="\x00" * 1_000_000)
    body = complete_message(aged_id(), jobs.tenant, metadata=huge, input=wanted)
    assert await ingest(pool, body, {"x-death": [huge]}) is Ingested.ORPHANED
    assert await jobs.value("SELECT count(*) FROM dead_letters WHERE body = $1", body) == 1


async def test_deeply_nested_headers_never_stop_the_ingest(pool: Database, jobs: Jobs) -> None:
    """Headers that are nested too deeply are replaced by a note."""
    headers: dict[str, Any] = {}
    for _ in range(5000):
        headers = {"in": headers}
    job_id = aged_id()
    assert await ingest(pool, complete_message(job_id, jobs.tenant), headers) is Ingested.ORPHANED
    assert "unreadable" in (await jobs.letter(job_id))["headers"]
