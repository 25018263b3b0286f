"""The gateway freezes in the middle of a relay's batch; its locks outlive nobody's patience."""

import asyncio
import signal

import httpx2
import pytest

from tests.support.http_client import Client, request
from tests.support.processes import ServiceProcess
from tests.support.stack import WARM_SECONDS, Stack
from tests.support.waiting import eventually

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]

JOBS = 3
LETS_GO_SECONDS = 30
JOBS_OF = "SELECT id::text AS id FROM jobs WHERE model = $1 ORDER BY id"
LOCKED = "SELECT count(*) FROM outbox WHERE id NOT IN (SELECT id FROM outbox FOR UPDATE SKIP LOCKED)"


@pytest.mark.long
async def test_a_gateway_frozen_in_a_batch_lets_go_of_it(stack: Stack, gateway: ServiceProcess) -> None:
    """Another relay publishes the batch within 30 s, and a job of it that was lost meanwhile is rendered again.

    The frozen relay had published its batch, and holds its rows. A worker takes a job of it and is killed: the rescue
    needs that job's row of the outbox, whose lock ends with the frozen transaction.
    """
    model = stack.spare_model()
    victim = stack.launch_worker("frozen-victim", model=model, fault=("kill", "while_rendering"))
    await victim.ready(WARM_SECONDS)
    gateway.kill()
    sleeper = stack.launch_gateway("sleeper", ("freeze", "after_publish"))
    await sleeper.ready()
    async with await stack.client(gateway=sleeper) as unlucky:
        posts = [asyncio.create_task(_post_whatever_comes(unlucky, model)) for _ in range(JOBS)]
        await eventually(lambda: sleeper.frozen, seconds=30, what="the gateway froze in its batch")
        assert (await stack.ledger.rows(LOCKED))[0][0] >= 1
        assert await victim.wait() == -signal.SIGKILL
        for post in posts:
            post.cancel()

    await gateway.restart()

    async def all_published() -> bool:
        return await stack.ledger.count("outbox") == 0 and await _lost(stack, model) == 1

    await eventually(all_published, seconds=LETS_GO_SECONDS, what="the rows are published and the lost job is rescued")
    await stack.worker("frozen-heir", model=model)
    async with await stack.client() as client:
        jobs = [row["id"] for row in await stack.ledger.rows(JOBS_OF, model)]
        await client.succeeded(*jobs)
    outcomes = await stack.ledger.outcomes(*jobs)
    assert sorted(outcome or "" for outcome in outcomes) == ["lost", *["succeeded"] * len(jobs)]


async def _post_whatever_comes(client: Client, model: str) -> None:
    """Submit a job; the gateway can freeze before its answer is sent."""
    try:
        await client.post("/v1/jobs", json=request(model, steps=30))
    except httpx2.TransportError:
        return


async def _lost(stack: Stack, model: str) -> int:
    rows = await stack.ledger.rows(
        "SELECT count(*) FROM attempts JOIN jobs ON jobs.id = job_id WHERE model = $1 AND outcome = 'lost'", model
    )
    return int(rows[0][0])
