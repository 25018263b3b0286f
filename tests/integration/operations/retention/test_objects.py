"""The sweep of objects that no job's record lists, on a real S3."""

import asyncio
import io
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

import pytest

from chassis.errors import StorageUnavailableError
from chassis.jobs.row import UndecodableColumnError
from chassis.postgres import Database
from chassis.settings import StorageSettings
from chassis.storage import Storage
from darkroom_contracts.models import Catalogue
from darkroom_contracts.objects import job_prefix, output_key
from darkroom_local.ports import LOOPBACK
from operations.replays.outcome import Replayed, ReplayRefusedError
from operations.replays.replay import replay
from operations.retention import objects
from operations.retention.objects import BATCH, LOOK_AGAIN, SweepObjects
from tests.integration.operations.jobs import Jobs
from tests.support.buckets import storage_settings
from tests.support.endpoints import Bucket
from tests.support.ids import aged_id
from tests.support.ports import free_port

DIGESTS = ("0" * 64, "1" * 64)
Put = Callable[[UUID, str], Awaitable[str]]
DUE = "INSERT INTO object_sweeps (job_id, due_at) VALUES ($1, now())"


@pytest.fixture
def settings(bucket: Bucket) -> StorageSettings:
    return storage_settings(bucket)


@pytest.fixture
def sweep(pool: Database, settings: StorageSettings) -> SweepObjects:
    return SweepObjects(pool, Storage(settings))


@pytest.fixture
def put(bucket: Bucket) -> Put:
    """Return a function that stores a picture of a job and returns its key."""

    async def store(job_id: UUID, digest: str) -> str:
        key = output_key(job_id, 0, digest, "png")
        await asyncio.to_thread(bucket.client().put_object, bucket.name, key, io.BytesIO(b"picture"), 7)
        return key

    return store


def outputs(key: str) -> str:
    """Return the outputs of a job with one picture, as an SQL expression."""
    picture = {"index": 0, "key": key, "content_type": "image/png", "width": 64, "height": 64, "size_bytes": 7}
    return f"'{json.dumps([{**picture, 'sha256': 'x', 'seed': 1}])}'"


async def _make_due(jobs: Jobs) -> None:
    await jobs.execute("UPDATE object_sweeps SET due_at = now()")


async def test_what_the_outputs_don_t_list_is_removed(
    sweep: SweepObjects, jobs: Jobs, bucket: Bucket, put: Put
) -> None:
    """An hour after the end of a job with several attempts its unlisted objects are removed."""
    job_id = await jobs.running(lease="-1 second")
    await jobs.value("SELECT reap_jobs()")
    kept, left = [await put(job_id, digest) for digest in DIGESTS]
    await jobs.finish(job_id, await jobs.claim(job_id), "succeeded")
    await jobs.set(job_id, outputs=outputs(kept))
    await sweep.run_once()
    assert sorted(bucket.object_keys()) == [kept, left]
    assert await jobs.value(
        "SELECT due_at - now() BETWEEN interval '59 minutes' AND interval '1 hour' FROM object_sweeps"
    )
    await _make_due(jobs)
    await sweep.run_once()
    assert bucket.object_keys() == [kept]
    assert await jobs.value("SELECT count(*) FROM object_sweeps") == 0


async def test_a_job_of_one_attempt_is_not_looked_at(jobs: Jobs) -> None:
    """A job with one attempt is not swept."""
    await jobs.ended("succeeded")
    assert await jobs.value("SELECT count(*) FROM object_sweeps") == 0


@pytest.mark.parametrize("status", ["failed", "canceled"])
async def test_a_job_without_outputs_keeps_nothing(
    sweep: SweepObjects, jobs: Jobs, bucket: Bucket, put: Put, status: str
) -> None:
    """All objects of a job without outputs are removed."""
    job_id = await jobs.ended(status)
    await put(job_id, DIGESTS[0])
    await jobs.execute(DUE, job_id)
    await sweep.run_once()
    assert bucket.object_keys() == []


@pytest.mark.parametrize("status", ["queued", "running"])
async def test_objects_of_an_active_job_stay(
    sweep: SweepObjects, jobs: Jobs, bucket: Bucket, put: Put, status: str
) -> None:
    """The objects of a queued or running job stay; its next end schedules another sweep."""
    job_id = await jobs.queued() if status == "queued" else await jobs.running()
    key = await put(job_id, DIGESTS[0])
    await jobs.execute(DUE, job_id)
    await sweep.run_once()
    assert bucket.object_keys() == [key]
    assert await jobs.value("SELECT count(*) FROM object_sweeps") == 0


@pytest.mark.parametrize("how", ["deleted", "purged"])
async def test_a_job_that_is_gone_keeps_nothing(
    sweep: SweepObjects, jobs: Jobs, bucket: Bucket, put: Put, how: str
) -> None:
    """All objects of a deleted or purged job are removed, and late uploads until none came for an hour."""
    job_id = await jobs.ended("succeeded") if how == "deleted" else aged_id()
    listed = await put(job_id, DIGESTS[0])
    other = await put(await jobs.ended("succeeded"), DIGESTS[0])
    if how == "deleted":
        await jobs.set(job_id, outputs=outputs(listed), deleted_at="now()")
    await jobs.execute(DUE, job_id)
    await sweep.run_once()
    assert bucket.object_keys() == [other]
    assert await jobs.value("SELECT due_at > now() AND due_at <= now() + $1 FROM object_sweeps", LOOK_AGAIN)
    await _make_due(jobs)
    await sweep.run_once()
    await put(job_id, DIGESTS[1])
    await jobs.execute("UPDATE object_sweeps SET empty_since = now() - interval '2 hours', due_at = now()")
    await sweep.run_once()
    assert bucket.object_keys() == [other]
    assert await jobs.value("SELECT empty_since IS NULL FROM object_sweeps")


async def test_a_prefix_that_stayed_empty_for_an_hour_is_done(sweep: SweepObjects, jobs: Jobs) -> None:
    """The sweep of a removed job ends after its prefix was empty for an hour."""
    await jobs.execute(DUE, aged_id())
    for empty_for, left in (("0 minutes", 1), ("59 minutes", 1), ("1 hour", 0)):
        await jobs.execute(
            f"UPDATE object_sweeps SET due_at = now(), empty_since = now() - interval '{empty_for}'"
            " WHERE empty_since IS NOT NULL"
        )
        await sweep.run_once()
        assert await jobs.value("SELECT count(*) FROM object_sweeps WHERE empty_since IS NOT NULL") == left
    assert await jobs.value("SELECT count(*) FROM object_sweeps") == 0


async def test_a_longer_id_keeps_its_objects(
    sweep: SweepObjects, jobs: Jobs, bucket: Bucket, settings: StorageSettings
) -> None:
    """A longer id with the same beginning keeps its objects."""
    job_id = aged_id()
    neighbour = f"jobs/{job_id}0/0-x.png"
    await Storage(settings).put(neighbour, b"picture", "image/png")
    await jobs.execute(DUE, job_id)
    await sweep.run_once()
    assert bucket.object_keys() == [neighbour]


async def test_a_round_takes_a_batch(sweep: SweepObjects, jobs: Jobs, bucket: Bucket, put: Put) -> None:
    """A round sweeps a bounded batch and reports whether more jobs may be due."""
    for _ in range(BATCH + 1):
        job_id = aged_id()
        await put(job_id, DIGESTS[0])
        await jobs.execute(DUE, job_id)
    assert await sweep.run_once() is True
    assert await sweep.run_once() is False
    assert bucket.object_keys() == []


async def test_sweeps_at_once_share_the_work(
    pool: Database, settings: StorageSettings, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Concurrent sweeps share the jobs, and each job is swept once."""
    asked: list[str] = []
    keys = Storage.keys

    async def counted(self: Storage, prefix: str) -> list[str]:
        asked.append(prefix)
        return await keys(self, prefix)

    monkeypatch.setattr(Storage, "keys", counted)
    wanted = [aged_id() for _ in range(BATCH)]
    for job_id in wanted:
        await jobs.execute(DUE, job_id)
    await asyncio.gather(*(SweepObjects(pool, Storage(settings)).run_once() for _ in range(3)))
    assert sorted(asked) == sorted(map(job_prefix, wanted))


async def test_a_record_that_can_t_be_decoded_keeps_its_objects_alone(
    sweep: SweepObjects, jobs: Jobs, bucket: Bucket, put: Put
) -> None:
    """What a newer version wrote stops no other sweep, in this round or later, and none of its objects is removed."""
    newer, gone, later = await jobs.ended("succeeded"), aged_id(), aged_id()
    key = await put(newer, DIGESTS[0])
    await jobs.set(newer, outputs="""'{"pictures": 1}'""")
    await put(gone, DIGESTS[0])
    for job_id in (newer, gone):
        await jobs.execute(DUE, job_id)
    with pytest.raises(UndecodableColumnError):
        await sweep.run_once()
    assert bucket.object_keys() == [key]
    await put(later, DIGESTS[0])
    await jobs.execute(DUE, later)
    await sweep.run_once()
    assert bucket.object_keys() == [key]


async def test_a_sweep_is_repeated_after_s3_was_away(
    pool: Database, settings: StorageSettings, jobs: Jobs, sweep: SweepObjects, bucket: Bucket, put: Put
) -> None:
    """Without S3 the round raises StorageUnavailableError, and the job is swept later."""
    job_id = aged_id()
    await put(job_id, DIGESTS[0])
    await jobs.execute(DUE, job_id)
    nowhere = StorageSettings(
        s3_endpoint=f"http://{LOOPBACK}:{free_port()}", s3_access_key="nobody-at-all", s3_secret_key="nothing-at-all"
    )
    with pytest.raises(StorageUnavailableError):
        await SweepObjects(pool, Storage(nowhere)).run_once()
    assert await jobs.value("SELECT due_at > now() FROM object_sweeps")
    await _make_due(jobs)
    await sweep.run_once()
    assert bucket.object_keys() == []


async def test_a_sweep_that_was_asked_for_meanwhile_is_kept(
    sweep: SweepObjects, jobs: Jobs, settings: StorageSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep that is scheduled during another one is kept."""
    job_id = await jobs.ended("succeeded")
    await jobs.execute(DUE, job_id)
    keys = Storage.keys

    async def slowly(self: Storage, prefix: str) -> list[str]:
        await jobs.execute("UPDATE object_sweeps SET due_at = now(), empty_since = NULL")
        await jobs.set(job_id, deleted_at="now()")
        return await keys(self, prefix)

    monkeypatch.setattr(Storage, "keys", slowly)
    await sweep.run_once()
    assert await jobs.value("SELECT due_at <= now() FROM object_sweeps WHERE job_id = $1", job_id)


async def test_a_slow_listing_removes_nothing(
    sweep: SweepObjects, jobs: Jobs, bucket: Bucket, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a slow listing nothing is removed, since the claim may end before the removal."""
    job_id = aged_id()
    key = await put(job_id, DIGESTS[0])
    await jobs.execute(DUE, job_id)
    monkeypatch.setattr(objects, "LISTING_SECONDS", -1.0)
    with pytest.raises(StorageUnavailableError, match="took longer"):
        await sweep.run_once()
    assert bucket.object_keys() == [key]
    assert await jobs.value("SELECT count(*) FROM object_sweeps") == 1


def no_catalogue() -> Catalogue:
    raise AssertionError("only an orphan's job is held to the catalogue")


async def test_a_replay_waits_for_a_sweep_that_is_under_way(
    pool: Database, sweep: SweepObjects, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replay is refused during a sweep, which could remove the object that it renders."""
    job_id = await jobs.dead()
    await jobs.execute(DUE, job_id)
    letter = await jobs.letter(job_id)
    keys = Storage.keys
    refusals: list[str] = []

    async def meanwhile(self: Storage, prefix: str) -> list[str]:
        with pytest.raises(ReplayRefusedError) as refused:
            await replay(pool, letter["id"], "test", no_catalogue)
        refusals.append(str(refused.value))
        return await keys(self, prefix)

    monkeypatch.setattr(Storage, "keys", meanwhile)
    await sweep.run_once()
    assert "are being removed; try again in five minutes" in refusals[0]
    assert await replay(pool, letter["id"], "test", no_catalogue) == Replayed(letter["id"], job_id, 2)


async def test_a_replay_calls_a_sweep_off(pool: Database, sweep: SweepObjects, jobs: Jobs) -> None:
    """A replay cancels a scheduled or overdue sweep."""
    for due in (timedelta(hours=1), timedelta(hours=-1)):
        job_id = await jobs.dead()
        await jobs.execute("INSERT INTO object_sweeps (job_id, due_at) VALUES ($1, now() + $2::interval)", job_id, due)
        await replay(pool, (await jobs.letter(job_id))["id"], "test", no_catalogue)
        assert await jobs.value("SELECT count(*) FROM object_sweeps") == 0
