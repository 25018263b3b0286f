"""One dead letter as operators see it."""

import pytest

from chassis.postgres import Database
from darkroom_contracts.api.dead_letters import DeadLetterQuery, RevealRequest
from darkroom_contracts.states import DeliveryOutcome, DeliveryStatus, EndpointStatus, LetterKind
from operations.desk import detail
from operations.desk.detail import ShowLetter
from operations.desk.revealing import RevealLetter
from operations.desk.searching import Letters
from operations.letters.ingest import ingest
from tests.integration.operations.jobs import Jobs
from tests.integration.operations.orphans import record_orphan

LOOKING = RevealRequest("looking")


async def test_letters_of_all_kinds_are_listed(pool: Database, jobs: Jobs) -> None:
    """The newest first, whatever their kind, each with its tenant where that is known."""
    job_id = await jobs.dead()
    webhook = await jobs.given_up(await jobs.ended("succeeded"))
    orphan = (await record_orphan(pool, jobs))["id"]
    await ingest(pool, b"garbage", {})

    every = (await Letters(pool).page(DeadLetterQuery())).dead_letters
    assert [letter.kind for letter in every] == ["undecodable", "orphan", "webhook", "job"]
    assert [letter.tenant for letter in every] == [None, "default", "default", "default"]
    assert [letter.id for letter in every][1:3] == [orphan, webhook]
    [found] = (await Letters(pool).page(DeadLetterQuery(kind=LetterKind.WEBHOOK))).dead_letters
    assert (found.id, found.reason, found.error.message) == (
        webhook,
        "webhook_exhausted",
        "The receiver answered 500.",
    )
    await jobs.execute("UPDATE dead_letters SET status = 'discarded', resolved_at = now() WHERE kind = 'job'")
    assert (await Letters(pool).page(DeadLetterQuery(kind=LetterKind.JOB))).dead_letters == []
    [discarded] = (await Letters(pool).page(DeadLetterQuery(status="discarded"))).dead_letters
    assert discarded.job_id == job_id


async def test_a_webhook_s_letter_has_its_delivery(pool: Database, jobs: Jobs) -> None:
    """Endpoint, event, job and every attempt, none of the job's own; URL and answers are among what is hidden."""
    job_id = await jobs.ended("succeeded")
    letter_id = await jobs.given_up(job_id, attempts=3, response=b"\x1bbroken")
    shown = await ShowLetter(pool)(letter_id)
    assert (shown.kind, shown.job_id, shown.tenant, shown.attempts) == ("webhook", job_id, "default", [])
    delivery = shown.delivery
    assert delivery is not None
    assert (delivery.event, delivery.status, delivery.attempts_made) == ("job.succeeded", DeliveryStatus.FAILED, 3)
    assert (delivery.endpoint_status, delivery.endpoint_deleted) == (EndpointStatus.ENABLED, False)
    assert [attempt.number for attempt in delivery.attempts] == [1, 2, 3]
    attempt = delivery.attempts[-1]
    assert (attempt.outcome, attempt.status_code, attempt.total_ms) == (DeliveryOutcome.FAILED, 500, 5)
    assert attempt.error == "The receiver answered 500."
    hidden = await RevealLetter(pool)("key", letter_id, LOOKING)
    assert hidden.url == "https://example.com/hook"
    assert [(each.attempt, each.response) for each in hidden.attempts] == [(n, b"\x1bbroken") for n in (1, 2, 3)]


async def test_the_latest_attempts_are_shown(pool: Database, jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redeliveries add attempts without a limit, and what is shown has one."""
    monkeypatch.setattr(detail, "MOST_ATTEMPTS", 3)
    shown = await ShowLetter(pool)(await jobs.given_up(await jobs.ended("succeeded"), attempts=5))
    assert shown.delivery is not None
    assert [attempt.number for attempt in shown.delivery.attempts] == [3, 4, 5]
    assert shown.delivery.attempts_made == 5


async def test_a_letter_outlives_its_job_delivery_and_endpoint(pool: Database, jobs: Jobs) -> None:
    """It still shows the job, the tenant and the reason."""
    job_id = await jobs.ended("succeeded")
    letter = await jobs.given_up(job_id)
    await jobs.execute("DELETE FROM webhook_endpoints")
    shown = await ShowLetter(pool)(letter)
    assert shown.delivery is not None
    assert shown.delivery.endpoint_status is None
    await jobs.execute("DELETE FROM webhook_deliveries")
    await jobs.execute("DELETE FROM jobs")
    shown = await ShowLetter(pool)(letter)
    assert (shown.delivery, shown.job_id, shown.tenant) == (None, job_id, "default")
    assert shown.delivery_id is not None
