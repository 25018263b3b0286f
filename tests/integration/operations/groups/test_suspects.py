import json
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from chassis.postgres import Database
from darkroom_contracts.api.dead_letter_groups import DeadLetterGroupDetail, Suspect, SuspectKind
from operations.groups import suspects as module
from operations.groups.groups import Groups
from tests.integration.operations.groups.letters import group_of
from tests.integration.operations.jobs import Jobs

SESSION = """
    INSERT INTO worker_sessions (id, worker, model, device, gpu_id, model_revision, versions)
    VALUES ($1, $2, 'tiny', 'cuda', $3, $4, $5)
"""
HOLD = "UPDATE jobs SET worker = $2, session_id = $3, input = $4 WHERE id = $1"
VERSIONS = json.dumps({"torch": "2.13.0", "diffusers": "0.42.0"})
GROUP = "SELECT group_id FROM dead_letters LIMIT 1"


class Floor:
    """Workers that end jobs."""

    def __init__(self, jobs: Jobs, rows: asyncpg.Connection) -> None:
        self._jobs = jobs
        self._rows = rows
        self._sessions: dict[str, UUID] = {}

    async def worker(self, name: str, gpu: str, revision: str = "r1") -> None:
        self._sessions[name] = uuid4()
        await self._rows.execute(SESSION, self._sessions[name], name, gpu, revision, VERSIONS)

    async def end(self, worker: str, status: str, count: int, scheduler: str = "ddim", size: int = 512) -> None:
        """End jobs that the worker rendered."""
        for _ in range(count):
            job_id = await self._jobs.queued()
            token = await self._jobs.claim(job_id, worker=worker, session=self._sessions[worker])
            wanted = json.dumps({"scheduler": scheduler, "width": size, "height": size})
            await self._rows.execute(HOLD, job_id, worker, self._sessions[worker], wanted)
            await self._jobs.finish(job_id, token, status)


@pytest.fixture
async def floor(jobs: Jobs, rows: asyncpg.Connection) -> Floor:
    """Two workers, on GPUs of their own."""
    made = Floor(jobs, rows)
    await made.worker("ansel", "GPU-1")
    await made.worker("brassai", "GPU-2", "r2")
    return made


async def detail(pool: Database, rows: asyncpg.Connection) -> DeadLetterGroupDetail:
    return await Groups(pool).find(await rows.fetchval(GROUP))


def named(found: DeadLetterGroupDetail, kind: SuspectKind) -> dict[str, Suspect]:
    return {suspect.value: suspect for suspect in found.suspects if suspect.kind == kind}


async def test_the_worker_that_all_letters_share_is_named(
    pool: Database, floor: Floor, rows: asyncpg.Connection
) -> None:
    """With its GPU and its model revision, each beside its share of all attempts, and since when."""
    await floor.end("ansel", "succeeded", 6)
    await floor.end("brassai", "succeeded", 2)
    before = datetime.now(UTC) - timedelta(seconds=1)
    await floor.end("brassai", "failed", 4)
    found = await detail(pool, rows)
    assert (found.open, found.examined, found.sampled) == (4, 4, 12)
    suspect = named(found, SuspectKind.WORKER)["brassai"]
    assert (suspect.letters, suspect.share, suspect.attempts, suspect.usual_share) == (4, 1.0, 6, 0.5)
    assert before < suspect.first_seen_at <= suspect.last_seen_at
    assert {
        named(found, kind).keys() == {value}
        for kind, value in (
            (SuspectKind.GPU, "GPU-2"),
            (SuspectKind.MODEL_REVISION, "r2"),
            (SuspectKind.WORKER, "brassai"),
        )
    } == {True}
    assert {suspect.kind for suspect in found.suspects[:3]} == {
        SuspectKind.WORKER,
        SuspectKind.GPU,
        SuspectKind.MODEL_REVISION,
    }


async def test_what_is_as_common_as_usual_comes_last(pool: Database, floor: Floor, rows: asyncpg.Connection) -> None:
    """The scheduler stands out here, and the workers, which all jobs share alike, do not."""
    for worker in ("ansel", "brassai"):
        await floor.end(worker, "succeeded", 3)
        await floor.end(worker, "failed", 2, scheduler="heun", size=768)
    found = await detail(pool, rows)
    assert {(suspect.kind, suspect.value) for suspect in found.suspects[:2]} == {
        (SuspectKind.SCHEDULER, "heun"),
        (SuspectKind.SIZE, "768x768"),
    }
    for suspect in named(found, SuspectKind.WORKER).values():
        assert (suspect.share, suspect.usual_share) == (0.5, 0.5)
    [versions] = named(found, SuspectKind.VERSIONS).values()
    assert (versions.value, versions.share, versions.usual_share) == ("diffusers 0.42.0, torch 2.13.0", 1.0, 1.0)


async def test_other_models_and_hours_are_not_compared(pool: Database, floor: Floor, rows: asyncpg.Connection) -> None:
    """Attempts of another model, or of hours without letters, would make every worker of this one suspicious."""
    await floor.end("ansel", "succeeded", 5)
    await rows.execute("UPDATE attempts SET started_at = started_at - interval '3 hours'")
    await floor.end("ansel", "succeeded", 3)
    await rows.execute(
        "UPDATE jobs SET model = 'other' FROM attempts"
        " WHERE job_id = jobs.id AND attempts.started_at > now() - interval '1 hour'"
    )
    await floor.end("brassai", "succeeded", 1)
    await floor.end("brassai", "failed", 1)
    found = await detail(pool, rows)
    assert found.sampled == 2
    assert named(found, SuspectKind.WORKER)["brassai"].usual_share == 1.0


async def test_the_work_is_bounded(
    pool: Database, floor: Floor, rows: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest letters are examined, and each part of an hour contributes its share of attempts."""
    await floor.end("ansel", "failed", 5)
    await floor.end("brassai", "failed", 5)
    monkeypatch.setattr(module, "MOST_LETTERS", 4)
    monkeypatch.setattr(module, "MOST_ATTEMPTS", 3)
    monkeypatch.setattr(module, "PARTS", 1)
    found = await detail(pool, rows)
    assert (found.examined, found.sampled) == (4, 3)
    assert named(found, SuspectKind.WORKER).keys() == {"brassai"}


async def test_a_deleted_job_s_input_is_not_counted(pool: Database, floor: Floor, rows: asyncpg.Connection) -> None:
    """Its worker still is."""
    await floor.end("ansel", "failed", 1)
    await rows.execute("UPDATE jobs SET deleted_at = now()")
    found = await detail(pool, rows)
    assert named(found, SuspectKind.WORKER).keys() == {"ansel"}
    assert named(found, SuspectKind.SIZE) == {}


async def test_letters_without_attempts_have_no_suspects(pool: Database, rows: asyncpg.Connection) -> None:
    """Those of webhooks, and of jobs that no worker had."""
    await rows.execute(
        "INSERT INTO dead_letters (kind, delivery_id, reason, error, fingerprint)"
        " VALUES ('webhook', gen_random_uuid(), 'webhook_exhausted', '{}', 'x')"
    )
    assert (await detail(pool, rows)).suspects == []
    job = await Groups(pool).find(await group_of(rows))
    assert (job.suspects, job.examined, job.sampled) == ([], 1, 0)
