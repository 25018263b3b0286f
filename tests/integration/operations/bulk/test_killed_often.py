"""Processes that run a bulk replay are killed again and again."""

import asyncio
from functools import partial
from random import Random
from typing import Any
from uuid import UUID

import pytest
import structlog

from darkroom_local.ports import LOOPBACK
from tests.integration.operations.bulk.floor import Floor
from tests.support.fixtures import ServiceFactory
from tests.support.models import REPOSITORY
from tests.support.ports import free_port
from tests.support.waiting import eventually

log = structlog.get_logger()
pytestmark = pytest.mark.chaos

RESTART_SECONDS = 10
"""Longest time until a process that is started replays."""
SECONDS = "SELECT extract(epoch FROM max(at) - min(at)) FROM replay_items WHERE replay_id = $1"


@pytest.fixture
def settings(database: str) -> dict[str, str]:
    nowhere = f"{LOOPBACK}:{free_port()}"
    return {
        "DARKROOM_DATABASE_URL": database,
        "DARKROOM_AMQP_URL": f"amqp://guest:guest@{nowhere}/",
        "DARKROOM_S3_ENDPOINT": f"http://{nowhere}",
        "DARKROOM_S3_ACCESS_KEY": "access-key",
        "DARKROOM_S3_SECRET_KEY": "secret-key",
        "DARKROOM_MODELS_FILE": str(REPOSITORY / "deploy" / "models.toml"),
    }


@pytest.mark.parametrize(
    ("letters", "pace", "kills"),
    [
        (120, 20.0, 3),
        pytest.param(10_000, 50.0, 5, marks=[pytest.mark.long, pytest.mark.timeout(1200)]),
    ],
)
async def test_kills_repeat_and_lose_nothing(
    floor: Floor, settings: dict[str, str], start_service: ServiceFactory, letters: int, pace: float, kills: int
) -> None:
    """Each job has one new generation and one message, however often the processes die, and the pace is kept."""
    await floor.dead(letters)
    replay_id = await floor.asked(pace=pace)
    processes: list[Any] = [await start_service("operations", settings, wait_ready=False) for _ in range(2)]
    await eventually(partial(_is_planned, floor, replay_id), seconds=120, what="the replay is planned")
    await floor.control.start("op_key", replay_id, letters)
    random = Random(letters)
    for killed in range(kills):
        await eventually(
            partial(_has_replayed, floor, replay_id, letters * (killed + 1) // (kills + 1)),
            seconds=600,
            what="some run",
        )
        await asyncio.sleep(random.uniform(0, 0.1))
        for process in processes:
            process.kill()
        processes = [await start_service("operations", settings, wait_ready=False) for _ in range(2)]
    await eventually(partial(_has_replayed, floor, replay_id, letters), seconds=600, what="all are replayed")
    taken = float(await floor.jobs.value(SECONDS, replay_id))
    log.info("all are replayed", letters=letters, seconds=round(taken, 1), pace=letters / taken, kills=kills)
    assert 0.95 * (letters / pace - 2) < taken < 1.05 * letters / pace + kills * RESTART_SECONDS
    assert set(await floor.generations()) == {2}
    assert await floor.jobs.value("SELECT count(*) FROM outbox") == letters
    await floor.agrees(replay_id)


async def _is_planned(floor: Floor, replay_id: UUID) -> bool:
    return (await floor.control.find(replay_id)).status == "planned"


async def _has_replayed(floor: Floor, replay_id: UUID, number: int) -> bool:
    return (await floor.control.find(replay_id)).items.replayed >= number
