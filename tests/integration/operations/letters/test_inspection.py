"""Dead letters as operators list and see them."""

import pytest

from chassis.postgres import Database
from darkroom_contracts.states import DeliveryOutcome, DeliveryStatus, EndpointStatus
from operations.letters import store
from operations.letters.ingest import ingest
from operations.letters.inspection import list_letters, show_letter
from operations.letters.records import LetterKind, LetterStatus
from tests.integration.operations.jobs import Jobs
from tests.integration.operations.orphans import record_orphan


async def test_letters_are_listed_by_kind_and_status(pool: Database, jobs: Jobs) -> None:
    """The newest first, whatever their kind, as many as are asked for."""
    job_id = await jobs.dead()
    webhook = await jobs.given_up(await jobs.ended("succeeded"))
    orphan = (await record_orphan(pool, jobs))["id"]
    await ingest(pool, b"garbage", {})
    every = await list_letters(pool, None, None, 10)
    assert [letter.kind for letter in every] == ["undecodable", "orphan", "webhook", "job"]
    assert [letter.id for letter in await list_letters(pool, None, LetterStatus.OPEN, 2)] == [every[0].id, orphan]
    [listed] = await list_letters(pool, LetterKind.WEBHOOK, LetterStatus.OPEN, 10)
    assert (listed.id, listed.reason, listed.message) == (webhook, "webhook_exhausted", "The receiver answered 500.")
    assert [letter.tenant for letter in every] == [None, "default", "default", "default"]
    await jobs.execute("UPDATE dead_letters SET status = 'discarded', resolved_at = now() WHERE kind = 'job'")
    assert await list_letters(pool, LetterKind.JOB, LetterStatus.OPEN, 10) == []
    [discarded] = await list_letters(pool, None, LetterStatus.DISCARDED, 10)
    assert discarded.job_id == job_id


async def test_a_webhook_s_letter_has_its_delivery(pool: Database, jobs: Jobs) -> None:
    """Endpoint, event, job, URL, and every attempt with its answer; none of the job's own attempts."""
    job_id = await jobs.ended("succeeded")
    shown = await show_letter(pool, await jobs.given_up(job_id, attempts=3, response=b"\x1bbroken"))
    assert (shown.kind, shown.job_id, shown.tenant, shown.attempts) == ("webhook", job_id, "default", [])
    delivery = shown.delivery
    assert delivery is not None
    assert (delivery.id, delivery.event, delivery.url) == (
        shown.delivery_id,
        "job.succeeded",
        "https://example.com/hook",
    )
    assert (delivery.status, delivery.attempt) == (DeliveryStatus.FAILED, 3)
    assert (delivery.endpoint_status, delivery.endpoint_deleted) == (EndpointStatus.ENABLED, False)
    assert [attempt.number for attempt in delivery.attempts] == [1, 2, 3]
    attempt = delivery.attempts[-1]
    assert (attempt.outcome, attempt.status_code, attempt.response) == (DeliveryOutcome.FAILED, 500, b"\x1bbroken")
    assert (attempt.dns_ms, attempt.connect_ms, attempt.tls_ms) == (1, 2, 3)
    assert (attempt.first_byte_ms, attempt.total_ms) == (4.25, 5)
    assert attempt.error == "The receiver answered 500."


async def test_the_latest_attempts_are_shown(pool: Database, jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redeliveries add attempts without a limit, and what is shown has one."""
    monkeypatch.setattr(store, "MOST_ATTEMPTS", 3)
    shown = await show_letter(pool, await jobs.given_up(await jobs.ended("succeeded"), attempts=5))
    assert shown.delivery is not None
    assert [attempt.number for attempt in shown.delivery.attempts] == [3, 4, 5]
    assert shown.delivery.attempt == 5


async def test_a_letter_outlives_its_job_delivery_and_endpoint(pool: Database, jobs: Jobs) -> None:
    """It still shows the job, the tenant and the reason."""
    job_id = await jobs.ended("succeeded")
    letter = await jobs.given_up(job_id)
    await jobs.execute("DELETE FROM webhook_endpoints")
    shown = await show_letter(pool, letter)
    assert shown.delivery is not None
    assert shown.delivery.endpoint_status is None
    await jobs.execute("DELETE FROM webhook_deliveries")
    await jobs.execute("DELETE FROM jobs")
    shown = await show_letter(pool, letter)
    assert (shown.delivery, shown.job_id, shown.tenant) == (None, job_id, "default")
    assert shown.delivery_id is not None
