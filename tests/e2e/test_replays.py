"""An operator replays dead letters in bulk, from a terminal through the edge."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from darkroom_contracts.api import Scope
from darkroom_contracts.states import JobStatus
from tests.support.commands import Finished, darkroom
from tests.support.edge import run_edge_of
from tests.support.http_client import Client
from tests.support.render_faults import WORKER_FAULT
from tests.support.stack import Stack
from tests.support.terminals import terminal
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(300)

LETTERS = 100
FAIL = """
    SELECT finish_job(id, generation, NULL, 'failed',
        '{"code": "pipeline_error", "message": "It failed.", "retryable": false}')
    FROM jobs WHERE model = $1
"""


@pytest.fixture
async def operator(stack: Stack) -> AsyncIterator[dict[str, str]]:
    """Run an edge, and return the environment of an operator's commands."""
    async with run_edge_of(stack) as edge:
        yield {"DARKROOM_URL": edge.url, "DARKROOM_OPERATOR_KEY": await stack.key("desk", Scope.OPERATOR)}


async def test_a_group_is_replayed_with_an_edit(stack: Stack, client: Client, operator: dict[str, str]) -> None:
    """Jobs that die on a broken worker make a group; edited and replayed on another worker they end as pictures."""
    model = stack.spare_model()
    broken = await stack.worker("berenice", model=model, settings={WORKER_FAULT: "non_finite_output"})
    jobs = [await client.submit(model) for _ in range(3)]
    assert {(await client.finished(job_id)).dead_lettered for job_id in jobs} == {True}
    assert await broken.stop() == 0
    worker = await stack.worker("diane", model=model)

    async def groups() -> list[dict[str, object]]:
        shown = await darkroom("dead-letters", "groups", "--model", model, "--json", **operator)
        return [group for group in shown.json if group["open"] == 3]

    async def appears() -> bool:
        return len(await groups()) == 1

    await eventually(appears, seconds=30, what="the group of three letters is shown")
    [group] = await groups()
    replay = ("dead-letters", "replay", "--group", str(group["id"]), "--steps", "3", "--ramp", "1,2")
    async with terminal(*replay, "--reason", "the new worker is healthy", columns=100, **operator) as typed:
        await typed.shows("Type 3 to confirm")
        assert "3 dead letters will be replayed with steps 3 in stages." in typed.text
        typed.type("3\n")
        assert await typed.ends(120) == 0, typed.text
    assert "is finished; all 3 succeeded." in typed.text
    ended = [await client.job(job_id) for job_id in jobs]
    assert [(job.status, job.generation, job.input.num_inference_steps) for job in ended] == [
        (JobStatus.SUCCEEDED, 2, 3)
    ] * 3
    assert [(await client.download(job.outputs[0])).status_code for job in ended] == [200] * 3
    assert await worker.stop() == 0


async def test_a_pause_and_a_cancel_act_within_a_second(stack: Stack, client: Client, operator: dict[str, str]) -> None:
    """Of 100 letters at 10 a second none is replayed after the command, until the replay is resumed."""
    model = stack.spare_model()
    await asyncio.gather(*(client.submit(model) for _ in range(LETTERS)))
    await stack.ledger.rows(FAIL, model)

    async def run(*arguments: str) -> Finished:
        return await darkroom(*arguments, **operator)

    async def replayed() -> int:
        [row] = await stack.ledger.rows("SELECT count(*) FROM jobs WHERE model = $1 AND generation = 2", model)
        return int(row["count"])

    async def stands_still() -> None:
        before = await replayed()
        await asyncio.sleep(1)
        assert await replayed() == before

    async def moves() -> None:
        before = await replayed()

        async def further() -> bool:
            return await replayed() > before + 2

        await eventually(further, seconds=30, what="letters are replayed")

    started = await run("dead-letters", "replay", "--model", model, "--pace", "10", "--yes", "--detach", "--json")
    replay_id = started.json["id"]
    await moves()
    async with terminal("replays", "watch", replay_id, columns=80, **operator) as watching:
        await watching.shows("running")
        paused = await run("replays", "pause", replay_id, "--reason", "too hot")
        await stands_still()
        assert await watching.ends() == 1
    assert (paused.exit_code, "is paused" in paused.out, "too hot" in watching.text) == (0, True, True)
    assert (await run("replays", "resume", replay_id)).exit_code == 0
    await moves()
    canceled = await run("replays", "cancel", replay_id, "--json")
    assert canceled.json["status"] == "canceled"
    await stands_still()
    shown = json.loads((await run("replays", "show", replay_id, "--state", "pending", "--json")).out)
    assert shown["replay"]["items"]["pending"] == LETTERS - await replayed()
    assert len(shown["dead_letters"]) == 20
