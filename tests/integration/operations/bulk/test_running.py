"""Bulk replays that run."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import msgspec
import pytest

from chassis.errors import DatabaseUnavailableError
from chassis.postgres import Connection, Database
from chassis.settings import DatabaseSettings
from darkroom_contracts.api.dead_letters import LetterScope
from darkroom_contracts.api.replays import InputEdit, ItemState, ReplayEdit, ReplayStatus
from operations.bulk import running, store
from operations.bulk.following import AT_ONCE
from operations.bulk.running import Running
from operations.errors import ConflictError
from operations.replays.replay import replay
from operations.replays.replay import replay_letter as replay_letter_once
from tests.integration.operations.bulk.floor import ACTOR, BOUNDS, Floor
from tests.integration.operations.replays.catalogues import catalogue

PAUSED = """
    INSERT INTO replays (scope, created_by, status, started_at, paused_reason, pending, failed)
    SELECT '{}', 'x', 'paused', now(), 'Stage 1 has a failure.', 1, 1 FROM generate_series(1, $1)
"""


async def test_a_started_replay_queues_each_job_once(floor: Floor) -> None:
    """Each job has one new generation, and the replay finishes when all of them have ended."""
    await floor.dead(5)
    replay_id = await floor.started(edit=ReplayEdit(input=InputEdit(num_inference_steps=2)), reason="fixed")
    await floor.run()
    assert await floor.generations() == [2] * 5
    await floor.follow()
    assert (await floor.control.find(replay_id)).status is ReplayStatus.RUNNING
    assert await floor.end("succeeded") == 5
    await floor.follow()
    finished = await floor.control.find(replay_id)
    assert (finished.status, finished.items.succeeded) == (ReplayStatus.FINISHED, 5)
    assert [item.generation for item in await floor.items(replay_id)] == [2] * 5
    assert await floor.jobs.value("SELECT count(*) FROM jobs WHERE overrides IS NOT NULL") == 5
    await floor.agrees(replay_id)


async def test_a_replay_starts_with_its_exact_count(floor: Floor) -> None:
    """Another count is refused with the right one, a second start too, and neither replays anything."""
    await floor.dead(2)
    planned = await floor.planned()
    with pytest.raises(ConflictError, match="of 2 dead letters"):
        await floor.control.start(ACTOR, planned.id, 3)
    await floor.control.start(ACTOR, planned.id, 2)
    with pytest.raises(ConflictError, match="is running"):
        await floor.control.start(ACTOR, planned.id, 2)
    assert await floor.jobs.value("SELECT count(*) FROM audit_log WHERE action = 'replay.start'") == 1


async def test_failures_are_counted_with_their_reason(floor: Floor) -> None:
    """Jobs that fail again, are canceled or are replayed by somebody else later have failed in this replay."""
    again, canceled, moved = await floor.dead(3)
    replay_id = await floor.started()
    await floor.run()
    for job_id, status in ((again, "failed"), (canceled, "canceled"), (moved, "failed")):
        await floor.jobs.finish(job_id, await floor.jobs.claim(job_id), status)
    await replay(floor.pool, (await floor.jobs.letter(moved))["id"], ACTOR, catalogue)
    await floor.follow()
    reasons = [item.error or "" for item in await floor.items(replay_id, ItemState.FAILED)]
    assert "failed: The scheduler failed" in reasons[0]
    assert "canceled" in reasons[1]
    assert "failed again, and was replayed again" in reasons[2]
    assert (await floor.control.find(replay_id)).status is ReplayStatus.FINISHED


async def test_letters_that_changed_since_the_plan_are_refused(floor: Floor) -> None:
    """A letter that another operator replayed, or whose job was deleted or purged, is refused with the reason."""
    replayed, deleted, purged, kept = await floor.dead(4)
    replay_id = await floor.started()
    await replay(floor.pool, (await floor.jobs.letter(replayed))["id"], ACTOR, catalogue)
    await floor.jobs.set(deleted, deleted_at="now()")
    await floor.jobs.execute("DELETE FROM jobs WHERE id = $1", purged)
    await floor.run()
    refused = [item.error or "" for item in await floor.items(replay_id, ItemState.REFUSED)]
    assert ["replayed already" in refused[0], *("was deleted" in each for each in refused[1:])] == [True] * 3
    assert (await floor.jobs.row(kept))["generation"] == (await floor.jobs.row(replayed))["generation"] == 2
    await floor.agrees(replay_id)


async def test_a_pruned_letter_is_refused(floor: Floor) -> None:
    """A letter that retention removed since the plan is refused."""
    await floor.dead(1)
    replay_id = await floor.started()
    await floor.jobs.execute("DELETE FROM dead_letters")
    await floor.run()
    [item] = await floor.items(replay_id)
    assert (item.state, "no dead letter" in (item.error or "")) == (ItemState.REFUSED, True)


async def test_webhooks_are_followed_to_their_end(floor: Floor) -> None:
    """A webhook that was sent again has succeeded when its delivery has."""
    letter = await floor.jobs.given_up((await floor.dead(1))[0])
    replay_id = await floor.started(LetterScope(ids=[letter]))
    await floor.run()
    await floor.follow()
    assert (await floor.control.find(replay_id)).items.replayed == 1
    await floor.jobs.settle_deliveries()
    await floor.follow()
    assert (await floor.control.find(replay_id)).items.succeeded == 1


async def test_one_broken_letter_does_not_stop_the_others(floor: Floor, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that nobody foresaw is logged, and refuses its item alone."""
    first, *_ = await floor.dead(3)
    broken = (await floor.jobs.letter(first))["id"]
    original = replay_letter_once

    async def replay_letter(connection: Connection, letter_id: Any, *arguments: Any) -> Any:
        if letter_id == broken:
            await connection.execute("SELECT 1 / 0")
        return await original(connection, letter_id, *arguments)

    monkeypatch.setattr(running, "replay_letter", replay_letter)
    replay_id = await floor.started()
    await floor.run()
    assert await floor.generations() == [1, 2, 2]
    assert "internal error" in ((await floor.items(replay_id, ItemState.REFUSED))[0].error or "")


async def test_a_replay_that_cannot_be_read_does_not_stop_the_others(floor: Floor) -> None:
    """Such as one whose edit a newer version wrote: its error is reported in each round, and the others go on."""
    first, second = [(await floor.jobs.letter(job_id))["id"] for job_id in await floor.dead(2)]
    newer = await floor.started(LetterScope(ids=[first]))
    await floor.jobs.execute("""UPDATE replays SET edit = '{"upscale": 4}' WHERE id = $1""", newer)
    await floor.started(LetterScope(ids=[second]))
    for _ in range(2):
        with pytest.raises(msgspec.ValidationError):
            await floor.running.run_once()
    assert await floor.generations() == [1, 2]


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", ["lease", "next_item", "mark_item", "replay_letter"])
async def test_a_crash_at_any_step_repeats_and_loses_nothing(
    floor: Floor, monkeypatch: pytest.MonkeyPatch, step: str, moment: str
) -> None:
    """A connection that is lost before or after any statement of an item leaves each job one new generation."""
    await floor.dead(4)
    replay_id = await floor.started()
    module = running if step == "replay_letter" else store
    monkeypatch.setattr(module, step, losing_connections(getattr(module, step), moment))
    for _ in range(20):
        with suppress(DatabaseUnavailableError):
            await floor.running.run_once()
    monkeypatch.undo()
    await floor.run()
    assert await floor.generations() == [2] * 4
    assert await floor.jobs.value("SELECT count(*) FROM outbox") == 4
    await floor.agrees(replay_id)


def losing_connections(step: Callable[..., Awaitable[Any]], moment: str) -> Callable[..., Awaitable[Any]]:
    """Return the step with its backend ended before or after every third call."""
    calls = 0

    async def flaky(connection: Connection, *arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls % 3 == 0 and moment == "before":
            await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        result = await step(connection, *arguments, **named)
        if calls % 3 == 0 and moment == "after":
            await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return result

    return flaky


async def test_a_lost_reply_to_the_commit_repeats_nothing(floor: Floor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit whose reply is lost, so that the round fails, is not repeated."""
    await floor.dead(3)
    await floor.started()
    transaction = Database.transaction

    class Lossy:
        def __init__(self) -> None:
            self._context = transaction(floor.pool)

        async def __aenter__(self) -> Connection:
            return await self._context.__aenter__()

        async def __aexit__(self, *exc_info: Any) -> None:
            await self._context.__aexit__(*exc_info)
            raise ConnectionError("the reply was lost")

    monkeypatch.setattr(Database, "transaction", lambda _: Lossy())
    for _ in range(3):
        with pytest.raises(ConnectionError):
            await floor.running.run_once()
    monkeypatch.undo()
    assert await floor.generations() == [2] * 3
    assert not await floor.running.run_once()


async def test_processes_share_a_replay(floor: Floor, database: str) -> None:
    """Three processes replay each letter once."""
    await floor.dead(20)
    replay_id = await floor.started()
    async with Database(DatabaseSettings(database_url=database), "a") as first:
        loops = [Running(pool, BOUNDS) for pool in (first, floor.pool, floor.pool)]
        while (await floor.control.find(replay_id)).items.pending:
            await asyncio.gather(*(loop.run_once() for loop in loops))
    assert await floor.generations() == [2] * 20
    await floor.agrees(replay_id)


async def test_two_replays_of_the_same_letters_queue_each_job_once(floor: Floor) -> None:
    """What one has replayed the other refuses with the reason, though they run at once."""
    await floor.dead(20)
    replays = [await floor.started() for _ in range(2)]
    loops = [Running(floor.pool, BOUNDS) for _ in replays]
    while any(await asyncio.gather(*(loop.run_once() for loop in loops))):
        pass
    assert await floor.generations() == [2] * 20
    assert await floor.jobs.value("SELECT count(*) FROM outbox") == 20
    items = [item for replay_id in replays for item in await floor.items(replay_id)]
    assert sorted(item.state for item in items) == [ItemState.REFUSED] * 20 + [ItemState.REPLAYED] * 20
    assert all("replayed already" in item.error for item in items if item.error)
    for replay_id in replays:
        await floor.agrees(replay_id)


async def test_a_pause_stops_the_item_under_way(floor: Floor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pause does not wait for the item under way, which is rolled back and replayed after the resumption."""
    await floor.dead(2)
    replay_id = await floor.started()
    original = replay_letter_once

    async def replay_letter(*arguments: Any) -> Any:
        replayed = await original(*arguments)
        async with asyncio.timeout(1):
            await floor.control.pause(ACTOR, replay_id, "wait")
        return replayed

    monkeypatch.setattr(running, "replay_letter", replay_letter)
    assert not await floor.running.run_once()
    monkeypatch.undo()
    await floor.run()
    assert await floor.generations() == [1, 1]
    paused = await floor.control.find(replay_id)
    assert (paused.status, paused.paused_reason, paused.items.pending) == (ReplayStatus.PAUSED, "wait", 2)
    await floor.control.resume(ACTOR, replay_id, None)
    await floor.run()
    assert await floor.generations() == [2, 2]


async def test_a_canceled_replay_goes_no_further(floor: Floor) -> None:
    """What a canceled replay has replayed goes on and is counted; its other letters stay open."""
    await floor.dead(3)
    replay_id = await floor.started()
    await floor.running.run_once()
    await floor.control.cancel(ACTOR, replay_id, "enough")
    await floor.run()
    assert await floor.generations() == [2, 1, 1]
    await floor.end("succeeded")
    await floor.follow()
    canceled = await floor.control.find(replay_id)
    assert (canceled.status, canceled.items.succeeded, canceled.items.pending) == (ReplayStatus.CANCELED, 1, 2)
    assert await floor.jobs.value("SELECT count(*) FROM dead_letters WHERE status = 'open'") == 2
    with pytest.raises(ConflictError, match="is canceled"):
        await floor.control.resume(ACTOR, replay_id, None)


async def test_replays_that_rest_do_not_hold_up_others(floor: Floor) -> None:
    """A replay finishes beside any number of paused ones, which nobody may ever resume."""
    await floor.jobs.execute(PAUSED, AT_ONCE)
    await floor.dead(1)
    replay_id = await floor.started()
    await floor.run()
    await floor.end("succeeded")
    await floor.follow()
    assert (await floor.control.find(replay_id)).status is ReplayStatus.FINISHED


async def test_acts_can_be_repeated(floor: Floor) -> None:
    """A second pause, resumption or cancel changes nothing and is not in the audit log."""
    await floor.dead(1)
    replay_id = await floor.started()
    for _ in range(2):
        await floor.control.pause(ACTOR, replay_id, "wait")
    for _ in range(2):
        await floor.control.resume(ACTOR, replay_id, "go on")
    for _ in range(2):
        await floor.control.cancel(ACTOR, replay_id, "enough")
    rows = await floor.jobs.fetch("SELECT actor, action, reason FROM audit_log WHERE subject = $1", str(replay_id))
    assert [tuple(row) for row in rows] == [
        (ACTOR, "replay.create", None),
        (ACTOR, "replay.start", None),
        (ACTOR, "replay.pause", "wait"),
        (ACTOR, "replay.resume", "go on"),
        (ACTOR, "replay.cancel", "enough"),
    ]


async def test_a_pace_is_kept(floor: Floor) -> None:
    """A replay keeps its pace on the average, and a crash does not reset it."""
    await floor.dead(30)
    began = time.monotonic()
    await floor.started(pace=10.0)
    while await floor.jobs.value("SELECT count(*) FROM jobs WHERE generation = 2") < 21:
        loop = Running(floor.pool, BOUNDS)
        await loop.run_once()
        await loop.run_once()
        await asyncio.sleep(loop.interval)
    assert time.monotonic() - began >= 1.9


async def test_a_late_replay_makes_good_three_seconds_at_most(floor: Floor) -> None:
    """After the runners were away a replay does not replay all that its pace would have allowed meanwhile."""
    await floor.dead(30)
    await floor.started(pace=5.0)
    await floor.jobs.execute("UPDATE replays SET due_at = now() - interval '1 hour'")
    await floor.run()
    assert 15 <= await floor.jobs.value("SELECT count(*) FROM jobs WHERE generation = 2") <= 18
