"""The end of bulk replays that are old."""

from datetime import timedelta
from uuid import UUID

from darkroom_contracts.api.replays import ReplayStatus
from operations.bulk.pruning import PLANS_LIVE, PruneReplays
from tests.integration.operations.bulk.floor import ACTOR, Floor

AGE = timedelta(days=30)


async def pruned(floor: Floor) -> None:
    """Prune until nothing is left to prune, a row at a time."""

    class Singly(PruneReplays):
        batch = 1

    while await Singly(floor.pool, AGE).run_once():
        pass


async def aged(floor: Floor, replay_id: UUID, column: str, age: timedelta) -> None:
    await floor.jobs.execute(f"UPDATE replays SET {column} = now() - $2::interval WHERE id = $1", replay_id, age)


async def test_a_replay_that_ended_long_ago_is_removed_with_its_items(floor: Floor) -> None:
    """A younger one stays, and one that runs, however old."""
    await floor.dead(3)
    old, young, running = [await floor.started() for _ in range(3)]
    for replay_id, age in ((old, AGE + timedelta(hours=1)), (young, AGE - timedelta(hours=1))):
        await floor.control.cancel(ACTOR, replay_id, None)
        await aged(floor, replay_id, "finished_at", age)
    await aged(floor, running, "created_at", 2 * AGE)
    await pruned(floor)
    left = await floor.jobs.fetch("SELECT replay_id, count(*) FROM replay_items GROUP BY replay_id ORDER BY replay_id")
    assert [tuple(row) for row in left] == [(young, 3), (running, 3)]
    assert {row["id"] for row in await floor.jobs.fetch("SELECT id FROM replays")} == {young, running}


async def test_a_plan_that_nobody_starts_is_canceled(floor: Floor) -> None:
    """After a week, planned or not. One that was paused since waits for its operator."""
    await floor.dead(1)
    planned, paused, fresh = [(await floor.planned()).id for _ in range(3)]
    await floor.control.start(ACTOR, paused, 1)
    await floor.control.pause(ACTOR, paused, None)
    asked = await floor.asked()
    for replay_id in (planned, paused, asked):
        await aged(floor, replay_id, "created_at", PLANS_LIVE + timedelta(hours=1))
    await pruned(floor)
    found = [(await floor.control.find(each)).status for each in (planned, asked, paused, fresh)]
    assert found == [ReplayStatus.CANCELED, ReplayStatus.CANCELED, ReplayStatus.PAUSED, ReplayStatus.PLANNED]
    assert not await floor.planning.run_once()
