"""Ramps of bulk replays."""

from uuid import UUID

from darkroom_contracts.api.replays import Ramp, ReplayStatus
from operations.bulk.ramp import allowed
from tests.integration.operations.bulk.floor import ACTOR, Floor


async def test_a_ramp_against_failures_starts_one_job(floor: Floor) -> None:
    """When the first job fails again, no other is started and the replay is paused with the reason."""
    await floor.dead(10)
    replay_id = await floor.started(ramp=Ramp())
    await floor.run()
    assert await floor.end("failed") == 1
    for _ in range(3):
        await floor.follow()
        await floor.run()
    assert sorted(await floor.generations()) == [*[1] * 9, 2]
    paused = await floor.control.find(replay_id)
    assert (paused.status, paused.items.failed) == (ReplayStatus.PAUSED, 1)
    assert "Stage 1 has a failure. The job is failed: The scheduler failed" in (paused.paused_reason or "")
    await floor.agrees(replay_id)


async def test_stages_grow_while_all_goes_well(floor: Floor) -> None:
    """A stage begins when all of the one before have succeeded; the last size is repeated."""
    await floor.dead(10)
    replay_id = await floor.started(ramp=Ramp(stages=(1, 2, 3)))
    sizes = []
    while (await floor.control.find(replay_id)).status is ReplayStatus.RUNNING:
        await floor.run()
        sizes.append(await floor.end("succeeded"))
        await floor.follow()
    assert sizes == [1, 2, 3, 3, 1]
    finished = await floor.control.find(replay_id)
    assert (finished.status, finished.stage, finished.items.succeeded) == (ReplayStatus.FINISHED, 5, 10)


async def test_a_stage_waits_for_each_of_its_jobs(floor: Floor) -> None:
    """While one job of a stage has not ended, the next stage does not begin."""
    await floor.dead(5)
    await floor.started(ramp=Ramp(stages=(2, 3)))
    await floor.run()
    await end_one(floor, "succeeded")
    await floor.follow()
    await floor.run()
    assert (await floor.generations()).count(2) == 2


async def test_an_overdue_stage_pauses_the_replay(floor: Floor) -> None:
    """A stage that exceeds its time limit pauses the replay; resumed, its time begins again and it goes on."""
    await floor.dead(3)
    replay_id = await floor.started(ramp=Ramp(stages=(1, 2), stage_seconds=60))
    await floor.run()
    await floor.jobs.execute("UPDATE replays SET stage_began_at = now() - interval '61 seconds'")
    await floor.follow()
    paused = await floor.control.find(replay_id)
    assert paused.status is ReplayStatus.PAUSED
    assert "Stage 1 has not ended after 60 s: 1 of its jobs" in (paused.paused_reason or "")
    await floor.control.resume(ACTOR, replay_id, None)
    await floor.follow()
    assert (await floor.control.find(replay_id)).status is ReplayStatus.RUNNING
    await floor.end("succeeded")
    await floor.follow()
    await floor.run()
    assert (await floor.generations()).count(2) == 3


async def test_a_resumed_ramp_goes_on_after_its_failure(floor: Floor) -> None:
    """An operator who resumes after a failure accepts it: the next stage begins, until the next failure."""
    await floor.dead(6)
    replay_id = await floor.started(ramp=Ramp(stages=(1, 2, 5)))
    await floor.run()
    await floor.end("failed")
    await floor.follow()
    await floor.control.resume(ACTOR, replay_id, "it was the fuse")
    await floor.follow()
    await floor.run()
    assert await floor.end("failed") == 2
    await floor.follow()
    paused = await floor.control.find(replay_id)
    assert (paused.status, paused.stage, paused.items.failed) == (ReplayStatus.PAUSED, 2, 3)


async def test_refused_letters_fill_no_stage(floor: Floor) -> None:
    """A letter that changed since the plan does not take a place of the stage."""
    first, *_ = await floor.dead(3)
    await floor.started(ramp=Ramp(stages=(1, 1)))
    await floor.jobs.set(first, deleted_at="now()")
    await floor.run()
    assert await floor.generations() == [1, 2, 1]


def test_the_last_size_is_repeated() -> None:
    """The items by the end of a stage are the sum of its sizes."""
    assert [allowed((1, 2, 5), stage) for stage in range(5)] == [1, 3, 8, 13, 18]


async def end_one(floor: Floor, status: str) -> None:
    job_id: UUID = await floor.jobs.value("SELECT id FROM jobs WHERE status = 'queued' LIMIT 1")
    await floor.jobs.finish(job_id, await floor.jobs.claim(job_id), status)
