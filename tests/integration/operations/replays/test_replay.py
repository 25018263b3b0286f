import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest

from chassis.postgres import Database
from darkroom_contracts.models import Catalogue
from operations.errors import UnknownLetterError
from operations.letters.ingest import ingest
from operations.replays.outcome import Replayed, ReplayRefusedError
from operations.replays.replay import replay
from tests.integration.operations.jobs import Jobs

ACTOR = "command:test"


def no_catalogue() -> Catalogue:
    raise AssertionError("only an orphan's job is held to the catalogue")


async def test_a_replayed_job_starts_anew(pool: Database, jobs: Jobs) -> None:
    """A replayed job is queued in its next generation, with no attempts, a new time to live and no error."""
    job_id = await jobs.dead(metadata="""'{"kept": "yes"}'""", expires_at="now() - interval '1 day'", step="3")
    await jobs.set(
        job_id, announced_at="'2026-01-01'", metrics="'{}'", deadline="'2 hours'", deadline_at="'2026-01-01'"
    )
    before = await jobs.row(job_id)
    letter = await jobs.letter(job_id)
    replayed = await replay(pool, letter["id"], ACTOR, no_catalogue)
    assert replayed == Replayed(letter["id"], job_id, 2)
    job = await jobs.row(job_id)
    assert (job["status"], job["generation"], job["attempt"], job["dead_lettered"]) == ("queued", 2, 0, False)
    cleared = ("error", "outputs", "receipt", "metrics", "completed_at", "started_at", "next_attempt_at", "step")
    assert [job[column] for column in (*cleared, "cancel_requested_at", "lease_token", "worker")] == [None] * 11
    assert job["expires_at"] - job["queued_at"] == job["ttl"] == timedelta(hours=1)
    assert job["deadline_at"] - job["queued_at"] == timedelta(hours=2)
    assert job["announced_at"] == job["queued_at"]
    assert (job["metadata"], job["created_at"]) == (before["metadata"], before["created_at"])
    assert job["version"] == before["version"] + 1


async def test_a_replay_leaves_a_message_and_an_audit_row(pool: Database, jobs: Jobs) -> None:
    """The replay writes an outbox row, the letter's status and an audit entry."""
    job_id = await jobs.dead()
    letter = await jobs.letter(job_id)
    await replay(pool, letter["id"], ACTOR, no_catalogue)
    assert (await jobs.letter(job_id))["status"] == "replaying"
    [outbox] = await jobs.fetch("SELECT job_id, generation, lane FROM outbox")
    assert tuple(outbox) == (job_id, 2, None)
    [audit] = await jobs.fetch("SELECT actor, action, subject FROM audit_log")
    assert tuple(audit) == (ACTOR, "dead_letter.replay", str(letter["id"]))


async def test_replaying_twice_runs_once(pool: Database, jobs: Jobs) -> None:
    """The second replay of a letter is refused with the job's state, and changes nothing."""
    job_id = await jobs.dead()
    letter = await jobs.letter(job_id)
    await replay(pool, letter["id"], ACTOR, no_catalogue)
    with pytest.raises(ReplayRefusedError, match=f"replayed already: job {job_id} is queued in generation 2"):
        await replay(pool, letter["id"], ACTOR, no_catalogue)
    assert (await jobs.row(job_id))["generation"] == 2
    assert await jobs.value("SELECT count(*) FROM audit_log") == 1


async def test_replaying_twice_at_once_runs_once(pool: Database, jobs: Jobs) -> None:
    """Of concurrent replays one queues the job, and the others are refused."""
    job_id = await jobs.dead()
    letter = await jobs.letter(job_id)
    results = await asyncio.gather(
        *(replay(pool, letter["id"], ACTOR, no_catalogue) for _ in range(4)), return_exceptions=True
    )
    assert [type(result) for result in results].count(Replayed) == 1
    assert [type(result) for result in results].count(ReplayRefusedError) == 3
    assert (await jobs.row(job_id))["generation"] == 2
    assert await jobs.value("SELECT count(*) FROM outbox") == 1


async def test_a_replay_that_succeeds_closes_the_letter(pool: Database, jobs: Jobs) -> None:
    """Every end of the replayed job closes its letter; a new failure has a letter of its own."""
    job_id = await jobs.dead()
    first = await jobs.letter(job_id)
    await replay(pool, first["id"], ACTOR, no_catalogue)
    await jobs.finish(job_id, await jobs.claim(job_id), "failed")
    second = await jobs.letter(job_id)
    assert (second["generation"], second["status"]) == (2, "open")
    await replay(pool, second["id"], ACTOR, no_catalogue)
    await jobs.finish(job_id, await jobs.claim(job_id), "succeeded")
    rows = await jobs.fetch("SELECT status FROM dead_letters WHERE resolved_at IS NOT NULL ORDER BY generation")
    assert [row["status"] for row in rows] == ["replayed", "replayed"]
    assert await jobs.status(job_id) == "succeeded"


async def test_a_late_message_does_not_fail_the_replayed_job(pool: Database, jobs: Jobs) -> None:
    """A late message of the earlier generation completes its letter and does not affect the job."""
    job_id = await jobs.dead()
    letter = await jobs.letter(job_id)
    await replay(pool, letter["id"], ACTOR, no_catalogue)
    await ingest(pool, await jobs.relayed(job_id), {"x-death": [{"reason": "delivery_limit"}]})
    assert await jobs.status(job_id) == "queued"
    assert (await jobs.letter(job_id))["x_death"] is not None


async def test_an_undecodable_letter_has_nothing_to_replay(pool: Database, jobs: Jobs) -> None:
    """The replay of an undecodable message is refused, since it has no job."""
    await ingest(pool, b"garbage", {})
    letter_id = await jobs.value("SELECT id FROM dead_letters")
    with pytest.raises(ReplayRefusedError, match="no job to replay"):
        await replay(pool, letter_id, ACTOR, no_catalogue)


async def test_a_deleted_job_has_no_replay(pool: Database, jobs: Jobs) -> None:
    """The letter of a deleted job is kept, and its replay is refused."""
    job_id = await jobs.dead()
    letter = await jobs.letter(job_id)
    await jobs.execute("DELETE FROM jobs WHERE id = $1", job_id)
    with pytest.raises(ReplayRefusedError, match="was deleted"):
        await replay(pool, letter["id"], ACTOR, no_catalogue)


async def test_an_unknown_letter_is_refused(pool: Database) -> None:
    """The replay of an unknown letter raises UnknownLetterError."""
    with pytest.raises(UnknownLetterError):
        await replay(pool, uuid4(), ACTOR, no_catalogue)
