"""A bulk replay whose process is killed at an edge: before or after a commit, a publish or a confirm."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest

from chassis.broker import Broker
from chassis.postgres import Database
from darkroom_contracts.api.replays import ItemState, ReplayStatus
from darkroom_contracts.messages import decode_render
from darkroom_contracts.topology import Lanes, topology, work_queue
from darkroom_local.program import base_environment
from gateway.declarer import Declarer
from gateway.publishers import Publishers
from gateway.relay import Relay
from gateway.store import OutboxStore
from tests.integration.operations.bulk.doomed import COMMITS, STEPS
from tests.integration.operations.bulk.floor import ACTOR, Floor
from tests.support.models import REPOSITORY
from tests.support.queues import Queues
from tests.support.waiting import eventually

pytestmark = pytest.mark.chaos

LETTERS = 4
OF_ENDS = ("end of items", "end of the replay")
"""Edges that are met when the jobs have ended."""


@pytest.fixture
async def relay(pool: Database, vhost: str) -> AsyncIterator[Relay]:
    """Return the relay of the process that goes on."""
    broker = Broker(vhost, "operations-test")
    await broker.declare(topology(["tiny"], Lanes.of()))
    yield Relay(pool, OutboxStore(), Publishers(broker), Declarer(broker, ["tiny"], Lanes.of()))
    await broker.close()


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("edge", [*COMMITS, *STEPS])
async def test_a_kill_at_an_edge_makes_one_new_generation_of_each_job(
    floor: Floor, relay: Relay, database: str, vhost: str, tmp_path: Path, edge: str, moment: str
) -> None:
    """No job is left out, none runs twice, and the replay finishes, whatever was done when the process died."""
    await floor.dead(LETTERS)
    replay_id = await floor.asked()
    if edge != COMMITS[0]:
        await plan_and_start(floor, replay_id)
    if edge in OF_ENDS:
        await go_on(floor, relay)
        await render(floor, vhost)
    await die(edge, moment, tmp_path, database=database, vhost=vhost)

    if edge == COMMITS[0]:
        await plan_and_start(floor, replay_id)
    await go_on(floor, relay)
    rendered = await render(floor, vhost)
    await floor.follow()
    finished = await floor.control.find(replay_id)
    assert (finished.status, finished.items.succeeded) == (ReplayStatus.FINISHED, LETTERS)
    assert await floor.items(replay_id, ItemState.PENDING) == []
    assert await floor.generations() == [2] * LETTERS
    assert await floor.jobs.value("SELECT count(*) FROM attempts WHERE generation = 2") == LETTERS
    assert rendered == (0 if edge in OF_ENDS else LETTERS)
    await floor.agrees(replay_id)


async def plan_and_start(floor: Floor, replay_id: UUID) -> None:
    while await floor.planning.run_once():
        pass
    await floor.control.start(ACTOR, replay_id, LETTERS)


async def go_on(floor: Floor, relay: Relay) -> None:
    """Replay and publish all that is left. What the dead process had locked is free within a moment."""

    async def published() -> bool:
        await floor.run()
        await relay.run_once()
        left = "SELECT (SELECT count(*) FROM outbox) + (SELECT count(*) FROM replay_items WHERE state = 'pending')"
        return bool(await floor.jobs.value(left) == 0)

    await eventually(published, what="all are published")


async def render(floor: Floor, vhost: str) -> int:
    """Claim the job of each message if the guards of the protocol allow it, and settle it. Return how many were."""
    rendered = 0
    async with Queues(vhost).channel() as channel:
        queue = await channel.get_queue(work_queue("tiny"))
        while message := await queue.get(fail=False, no_ack=True):
            asked = decode_render(message.body)
            job = await floor.jobs.row(asked.job_id)
            if (job["status"], job["generation"]) == ("queued", asked.generation):
                await floor.jobs.finish(asked.job_id, await floor.jobs.claim(asked.job_id), "succeeded")
                rendered += 1
    return rendered


async def die(edge: str, moment: str, folder: Path, *, database: str, vhost: str) -> None:
    """Run a process until it kills itself at the edge: at its second occurrence, where there is one."""
    call = "1" if edge in OF_ENDS else "2"
    command = ("-m", "tests.integration.operations.bulk.doomed", edge, moment, call)
    environment = base_environment() | {"DARKROOM_DATABASE_URL": database, "DARKROOM_AMQP_URL": vhost}
    environment["PYTHONPATH"] = os.pathsep.join([str(REPOSITORY), environment.get("PYTHONPATH", "")])
    with (folder / "doomed.log").open("wb") as log:
        doomed = await asyncio.create_subprocess_exec(
            sys.executable, *command, cwd=REPOSITORY, env=environment, stdout=log, stderr=log
        )
        ended = await doomed.wait()
    assert ended == -signal.SIGKILL, (folder / "doomed.log").read_text()
