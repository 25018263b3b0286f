"""An item of a bulk replay meets another act on its letter or its job in the same moment, in both orders."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from chassis.postgres import Connection, Database
from chassis.settings import DatabaseSettings
from darkroom_contracts.api.dead_letters import LetterScope
from darkroom_contracts.api.replays import ItemState, ReplayItem
from darkroom_contracts.states import JobStatus, LetterKind
from gateway.store import JobStore
from operations.bulk.control import Control
from operations.bulk.running import Running
from operations.desk.closing import Closing
from operations.errors import ConflictError
from operations.replays.replay import replay
from operations.retention import store as retention
from operations.retention.records import FIRST_ID
from tests.integration.operations.bulk.floor import ACTOR, BOUNDS, Floor
from tests.integration.operations.orphans import record_orphan
from tests.integration.operations.replays.catalogues import catalogue
from tests.support.waiting import eventually

AT_ONCE = timedelta(0)
LAST_ID = UUID(int=2**128 - 1)
END_DELIVERIES = "UPDATE webhook_deliveries SET status = 'canceled', next_attempt_at = NULL, finished_at = now()"
DISCARD = "UPDATE dead_letters SET status = 'discarded', resolved_at = now() WHERE status = 'open'"
WAITING_FOR_LOCKS = """
    SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


class Held(Database):
    """A pool whose first transaction keeps its locks, with all done, until it is released."""

    def __init__(self, url: str) -> None:
        super().__init__(DatabaseSettings(database_url=url), "held")
        self.done = asyncio.Event()
        self.released = asyncio.Event()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        async with super().transaction() as connection:
            yield connection
            self.done.set()
            await self.released.wait()


class Scene(NamedTuple):
    """What a bulk replay of one letter is for."""

    floor: Floor
    replay_id: UUID
    job_id: UUID
    letter_id: UUID

    async def item(self) -> ReplayItem:
        [item] = await self.floor.items(self.replay_id)
        return item


Act = Callable[[Scene, Database], Awaitable[Any]]


async def run_item(scene: Scene, database: Database) -> bool:
    return await Running(database, BOUNDS).run_once()


async def delete(scene: Scene, database: Database) -> JobStatus | None:
    return await JobStore(database).delete(scene.job_id, scene.floor.jobs.tenant)


async def discard(scene: Scene, database: Database) -> str:
    return (await Closing(database).discard(ACTOR, scene.letter_id, "nobody needs it")).status


async def replay_alone(scene: Scene, database: Database) -> int:
    replayed = await replay(database, scene.letter_id, "another operator", catalogue)
    return int(getattr(replayed, "generation", 0))


async def cancel(scene: Scene, database: Database) -> str:
    return (await Control(database).cancel(ACTOR, scene.replay_id, "enough")).status


async def purge(scene: Scene, database: Database) -> int:
    """Purge every job that nothing holds. Return how many there were."""
    async with database.transaction() as connection:
        return await _purge(connection)


async def discard_and_purge(scene: Scene, database: Database) -> int:
    """End all that holds the job, and purge it. Return how many were purged."""
    async with database.transaction() as connection:
        await connection.execute(END_DELIVERIES)
        await connection.execute(DISCARD)
        return await _purge(connection)


async def _purge(connection: Connection) -> int:
    await retention.advance_purge(connection, AT_ONCE)
    done, _ = await retention.purge_jobs(connection, FIRST_ID, LAST_ID, 100, AT_ONCE)
    return done.removed


@pytest.fixture
async def held(database: str) -> AsyncIterator[Held]:
    made = Held(database)
    async with made:
        yield made


@pytest.fixture
async def scene(floor: Floor) -> Scene:
    """Start a replay of one dead letter."""
    [job_id] = await floor.dead(1)
    replay_id = await floor.started()
    return Scene(floor, replay_id, job_id, (await floor.jobs.letter(job_id))["id"])


async def meet(scene: Scene, held: Held, first: Act, second: Act) -> tuple[Any, Any]:
    """Let the second act begin while the first one has done all but its commit. Return the results or errors."""
    leading = asyncio.create_task(_caught(first(scene, held)))
    await asyncio.wait_for(held.done.wait(), 10)
    following = asyncio.create_task(_caught(second(scene, scene.floor.pool)))

    async def has_met() -> bool:
        return following.done() or bool(await scene.floor.jobs.value(WAITING_FOR_LOCKS))

    await eventually(has_met, what="the second act waits, or is done")
    held.released.set()
    return await leading, await following


async def _caught(act: Awaitable[Any]) -> Any:
    try:
        return await act
    except ConflictError as error:
        return error


@pytest.mark.parametrize(
    ("act", "result"),
    [
        pytest.param(delete, JobStatus.QUEUED, id="delete"),
        pytest.param(discard, "only an open one can be discarded", id="discard"),
        pytest.param(replay_alone, "replayed already", id="replay"),
        pytest.param(cancel, "canceled", id="cancel"),
        pytest.param(purge, 0, id="purge"),
        pytest.param(discard_and_purge, 0, id="discard and purge"),
    ],
)
async def test_an_item_that_is_first_wins(scene: Scene, held: Held, act: Act, result: Any) -> None:
    """The job is queued once, and the other act finds it so."""
    handled, other = await meet(scene, held, run_item, act)
    assert handled is True
    assert str(result) in str(other) if isinstance(result, str) else other == result
    job = await scene.floor.jobs.row(scene.job_id)
    assert (job["status"], job["generation"], job["deleted_at"]) == ("queued", 2, None)
    assert (await scene.floor.jobs.letter(scene.job_id))["status"] == "replaying"
    assert (await scene.item()).state == ItemState.REPLAYED
    assert await scene.floor.jobs.value("SELECT count(*) FROM outbox") == 1
    await scene.floor.agrees(scene.replay_id)


@pytest.mark.parametrize(
    ("act", "result", "refusal", "generations"),
    [
        pytest.param(delete, None, "was deleted", [1], id="delete"),
        pytest.param(discard, "discarded", "was discarded", [1], id="discard"),
        pytest.param(replay_alone, 2, "replayed already", [2], id="replay"),
        pytest.param(discard_and_purge, 1, "was deleted", [], id="discard and purge"),
    ],
)
async def test_an_item_that_is_second_is_refused(
    scene: Scene, held: Held, act: Act, result: Any, refusal: str, generations: list[int]
) -> None:
    """The item says why, the job is as the other act left it, and the replay finishes."""
    other, handled = await meet(scene, held, act, run_item)
    assert (other, handled) == (result, True)
    item = await scene.item()
    assert (item.state, refusal in (item.error or "")) == (ItemState.REFUSED, True)
    assert await scene.floor.generations() == generations
    assert await scene.floor.jobs.value("SELECT count(*) FROM outbox") == generations.count(2)
    await scene.floor.follow()
    assert (await scene.floor.control.find(scene.replay_id)).status == "finished"
    await scene.floor.agrees(scene.replay_id)


async def test_a_cancel_that_is_first_rolls_the_item_back(scene: Scene, held: Held) -> None:
    """The letter stays open, and its job as it was."""
    canceled, handled = await meet(scene, held, cancel, run_item)
    assert (canceled, handled) == ("canceled", False)
    assert (await scene.item()).state == ItemState.PENDING
    assert await scene.floor.generations() == [1]
    assert (await scene.floor.jobs.letter(scene.job_id))["status"] == "open"
    await scene.floor.agrees(scene.replay_id)


async def test_a_purge_that_is_first_leaves_a_job_with_an_open_letter(scene: Scene, held: Held) -> None:
    """What can be replayed is not purged."""
    purged, handled = await meet(scene, held, purge, run_item)
    assert (purged, handled) == (0, True)
    assert await scene.floor.generations() == [2]


@pytest.mark.parametrize("item_first", [True, False])
async def test_no_purge_overtakes_the_replay_of_an_orphan(
    floor: Floor, pool: Database, held: Held, item_first: bool
) -> None:
    """Its job is made again and stays, whichever is first."""
    letter = await record_orphan(pool, floor.jobs)
    replay_id = await floor.started(LetterScope(kind=LetterKind.ORPHAN))
    scene = Scene(floor, replay_id, letter["job_id"], letter["id"])
    acts: tuple[Act, Act] = (run_item, purge) if item_first else (purge, run_item)
    results = await meet(scene, held, *acts)
    assert sorted(results) == [0, 1]
    assert await purge(scene, pool) == 0
    job = await floor.jobs.row(letter["job_id"])
    assert (job["status"], job["generation"]) == ("queued", 2)
    assert (await scene.item()).state == ItemState.REPLAYED
