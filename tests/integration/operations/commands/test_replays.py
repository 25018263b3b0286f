import asyncio
import json

import asyncpg
import pytest

from darkroom_contracts.api import Scope
from darkroom_local.home import REPOSITORY
from tests.integration.operations.commands.replay_desk import ReplayDesk, counted
from tests.integration.operations.jobs import Jobs
from tests.support.endpoints import Bucket
from tests.support.fixtures import ServiceFactory
from tests.support.keys import insert_key
from tests.support.terminals import CTRL_C
from tests.support.waiting import eventually

TINY = ("--model", "tiny")


@pytest.fixture
async def desk(
    database: str, vhost: str, bucket: Bucket, rows: asyncpg.Connection, jobs: Jobs, start_service: ServiceFactory
) -> ReplayDesk:
    """Start the service, and return what runs commands with an operator's key."""
    settings = {
        "DARKROOM_DATABASE_URL": database,
        "DARKROOM_AMQP_URL": vhost,
        "DARKROOM_MODELS_FILE": str(REPOSITORY / "deploy" / "models.toml"),
        **bucket.environment(),
    }
    operations = await start_service("operations", settings)
    key = await insert_key(rows, scope=Scope.OPERATOR)
    return ReplayDesk(operations, key.reveal(), jobs)


async def test_one_letter_is_replayed_once(desk: ReplayDesk) -> None:
    """At once and with its edit; a second time is refused, with what came first."""
    [letter] = await desk.dead(1)
    once = await desk.run("dead-letters", "replay", letter, "--steps", 2, "--reason", "too slow")
    again = await desk.run("dead-letters", "replay", letter)
    [job] = await desk.jobs.fetch("SELECT id, generation, overrides FROM jobs")
    assert (once.exit_code, once.out) == (0, f"Job {job['id']} is queued again, as generation 2.\n")
    assert (job["generation"], json.loads(job["overrides"])) == (2, {"input": {"num_inference_steps": 2}})
    assert (again.exit_code, "replayed already" in again.err) == (1, True)


async def test_several_are_planned_confirmed_and_followed(desk: ReplayDesk) -> None:
    """In a terminal: the plan with what is left out and why, the typed count, a bar, and the end."""
    letters = await desk.dead(13)
    await desk.run("dead-letters", "replay", letters[12])
    [deleted] = await desk.jobs.fetch("SELECT job_id FROM dead_letters WHERE id = $1", letters[0])
    await desk.jobs.set(deleted["job_id"], deleted_at="now()")
    async with desk.terminal("dead-letters", "replay", *letters, "--pace", 20) as typed:
        await typed.shows("Type 11 to confirm")
        typed.type("11\n")
        await typed.shows("running")
        async with desk.worker():
            assert await typed.ends() == 0
    assert "1             job deleted" in typed.text
    assert "1             replayed already" in typed.text
    assert f"{letters[0]}: The job of this dead letter was deleted." in typed.text
    assert "is finished; all 11 succeeded." in typed.text
    assert await desk.jobs.value("SELECT count(*) FROM jobs WHERE generation = 2") == 12


async def test_a_wrong_count_starts_nothing(desk: ReplayDesk) -> None:
    """The plan is kept: `replays start` asks again."""
    await desk.dead(3)
    async with desk.terminal("dead-letters", "replay", *TINY) as typed:
        await typed.shows("Type 3 to confirm")
        typed.type("2\n")
        assert await typed.ends() == 1
    [listed] = (await desk.run("replays", "list", "--json")).json
    assert listed["status"] == "planned"
    async with desk.worker(), desk.terminal("replays", "start", listed["id"], columns=80) as typed:
        await typed.shows("Type 3 to confirm")
        typed.type("3\n")
        assert await typed.ends() == 0


async def test_ctrl_c_stops_watching_and_not_the_replay(desk: ReplayDesk) -> None:
    """It says how to go on; `watch` shows the rest."""
    await desk.dead(30)
    replay_id = await desk.planned(*TINY, "--pace", 20)
    async with desk.terminal("replays", "start", replay_id, "--yes") as typed:
        await typed.shows("under way")
        typed.type(CTRL_C)
        assert await typed.ends() == 1
    assert f"`darkroom replays watch {replay_id}`" in typed.text
    async with desk.terminal("replays", "watch", replay_id) as watching:
        await watching.shows("running")
        async with desk.worker():
            assert await watching.ends() == 0
    assert "is finished; all 30 succeeded." in watching.text


async def test_a_pause_and_a_cancel_act_within_a_second(desk: ReplayDesk) -> None:
    """From the command line; the watching command ends with the reason, and exits with 1."""
    await desk.dead(500)
    replay_id = await desk.planned(*TINY, "--pace", 50)
    await desk.run("replays", "start", replay_id, "--yes", "--detach")
    await eventually(lambda: moved(desk), what="the first letters are replayed")
    async with desk.terminal("replays", "watch", replay_id) as watching:
        await watching.shows("running")
        assert (await desk.run("replays", "pause", replay_id, "--reason", "too hot")).exit_code == 0
        await stands_still(desk)
        assert await watching.ends() == 1
    assert "too hot" in watching.text
    resumed = await desk.run("replays", "resume", replay_id, "--json")
    assert resumed.json["status"] == "running"
    canceled = await desk.run("replays", "cancel", replay_id)
    assert canceled.out.startswith(f"Replay {replay_id} is canceled: ")
    await stands_still(desk)
    refused = await desk.run("replays", "resume", replay_id)
    assert (refused.exit_code, "is canceled" in refused.err) == (1, True)


async def moved(desk: ReplayDesk) -> bool:
    return await count(desk) > 0


async def count(desk: ReplayDesk) -> int:
    number: int = await desk.jobs.value("SELECT count(*) FROM jobs WHERE generation = 2")
    return number


async def stands_still(desk: ReplayDesk) -> None:
    """Assert that nothing is replayed after the command has ended, while 50 letters a second were."""
    before = await count(desk)
    await asyncio.sleep(1)
    assert await count(desk) - before <= 1


async def test_a_ramp_that_fails_is_paused_and_can_be_resumed(desk: ReplayDesk) -> None:
    """The stage, its failure and the commands that help are shown."""
    await desk.dead(6)
    async with desk.worker("failed"):
        failed = await desk.run("dead-letters", "replay", *TINY, "--ramp", "1,2", "--yes")
    assert failed.exit_code == 1
    assert "Stage 1 has a failure." in failed.err
    assert "stage 1 (1 at a time)" in failed.err
    [listed] = (await desk.run("replays", "list", "--status", "paused", "--json")).json
    shown = await desk.run("replays", "show", listed["id"], "--state", "failed")
    assert "in stages of 1, 2, 2, ..." in shown.out
    assert "The scheduler failed at step 7." in shown.out
    await desk.run("replays", "resume", listed["id"])
    await eventually(lambda: second_stage(desk, listed["id"]), what="the second stage has begun")
    assert "stage 2 (2 at a time), since " in (await desk.run("replays", "show", listed["id"])).out
    async with desk.worker():
        watched = await desk.run("replays", "watch", listed["id"])
    assert (watched.exit_code, "6 of 6 ended, 1 failed" in watched.err) == (1, True)
    assert counted(await desk.shown(listed["id"])) == {"succeeded": 5, "failed": 1}


async def second_stage(desk: ReplayDesk, replay_id: str) -> bool:
    stage: int = await desk.jobs.value("SELECT stage FROM replays WHERE id = $1::text::uuid", replay_id)
    return stage == 1


async def test_of_two_operators_the_second_is_told_who_was_first(desk: ReplayDesk) -> None:
    """A plan is started once; a second plan of the same letters replays none of them, and each says why."""
    await desk.dead(4)
    one, two = [await desk.planned(*TINY) for _ in range(2)]
    async with desk.worker():
        assert (await desk.run("replays", "start", one, "--yes")).exit_code == 0
        again = await desk.run("replays", "start", one, "--yes")
        late = await desk.run("replays", "start", two, "--yes")
    assert (again.exit_code, f"Replay {one} was started at " in again.err) == (1, True)
    assert f"`darkroom audit --subject {one}`" in again.err
    assert (late.exit_code, "4 refused" in late.err, "replayed already" in late.out) == (1, True, True)


async def test_observers_look_and_do_not_act(desk: ReplayDesk, rows: asyncpg.Connection) -> None:
    """The refusal names the variable that needs an operator's key."""
    [letter] = await desk.dead(1)
    replay_id = await desk.planned(*TINY)
    observer = desk.with_key((await insert_key(rows, scope=Scope.OBSERVER)).reveal())
    looks = [await observer.run("replays", "list"), await observer.run("replays", "show", replay_id)]
    assert [look.exit_code for look in looks] == [0, 0]
    refused = [
        await observer.run("replays", "start", replay_id, "--yes"),
        await observer.run("replays", "cancel", replay_id),
        await observer.run("dead-letters", "replay", letter),
        await observer.run("dead-letters", "replay", *TINY, "--yes"),
    ]
    assert {(each.exit_code, "DARKROOM_OPERATOR_KEY must be an operator's" in each.err) for each in refused} == {
        (1, True)
    }
    assert await count(desk) == 0


async def test_a_service_that_restarts_does_not_end_the_watch(desk: ReplayDesk) -> None:
    """The connection is tried again until the service is back, and the replay goes on where it was."""
    await desk.dead(40)
    replay_id = await desk.planned(*TINY, "--pace", 10)
    await desk.run("replays", "start", replay_id, "--yes", "--detach")
    async with desk.worker(), desk.terminal("replays", "watch", replay_id) as watching:
        await watching.shows("running")
        desk.operations.kill()
        await watching.shows("connection lost")
        await desk.operations.restart()
        assert await watching.ends(60) == 0
