"""Bulk replays over a real database, driven by rounds of their loops."""

from typing import Any
from uuid import UUID

import msgspec

from chassis.postgres import Database
from darkroom_contracts.api.dead_letters import LetterScope
from darkroom_contracts.api.replays import BulkReplay, BulkReplayRequest, ItemState, ReplayItem, ReplayItemQuery
from operations.bulk.control import Control
from operations.bulk.following import Following
from operations.bulk.planning import Planning
from operations.bulk.running import Running
from operations.replays.edits import Bounds
from tests.integration.operations.jobs import INPUT, Jobs
from tests.integration.operations.replays.catalogues import catalogue

ACTOR = "op_key"
TINY = LetterScope(model="tiny")
BOUNDS = Bounds(catalogue)


class Floor:
    """Plans replays, runs them, and ends their jobs."""

    def __init__(self, pool: Database, jobs: Jobs, chunk: int = 1000) -> None:
        self.pool = pool
        self.jobs = jobs
        self.control = Control(pool)
        self.planning = Planning(pool, BOUNDS, chunk)
        self.running = Running(pool, BOUNDS)
        self.following = Following(pool)

    async def dead(self, number: int) -> list[UUID]:
        """Insert dead jobs whose input is complete, and return their ids in the order of their letters."""
        encoded = msgspec.json.encode(INPUT).decode()
        return [await self.jobs.dead(input=f"'{encoded}'") for _ in range(number)]

    async def asked(self, scope: LetterScope = TINY, **request: Any) -> UUID:
        """Ask for a plan."""
        return (await self.control.plan(ACTOR, BulkReplayRequest(scope=scope, **request))).id

    async def planned(self, scope: LetterScope = TINY, **request: Any) -> BulkReplay:
        """Plan a replay to the end."""
        replay_id = await self.asked(scope, **request)
        while await self.planning.run_once():
            pass
        return await self.control.find(replay_id)

    async def started(self, scope: LetterScope = TINY, **request: Any) -> UUID:
        """Plan a replay and start it with its count."""
        planned = await self.planned(scope, **request)
        await self.control.start(ACTOR, planned.id, planned.items.pending)
        return planned.id

    async def run(self) -> None:
        """Replay all that may be replayed now."""
        while await self.running.run_once():
            pass

    async def follow(self) -> None:
        """Record what ended, and begin the next stages."""
        for _ in range(2):
            await self.following.run_once()

    async def end(self, status: str) -> int:
        """End each queued job. Return how many."""
        waiting = await self.jobs.fetch("SELECT id FROM jobs WHERE status = 'queued'")
        for row in waiting:
            await self.jobs.finish(row["id"], await self.jobs.claim(row["id"]), status)
        return len(waiting)

    async def items(self, replay_id: UUID, state: ItemState | None = None) -> list[ReplayItem]:
        """Return the first items of a replay."""
        return (await self.control.items(replay_id, ReplayItemQuery(state=state, limit=200))).items

    async def generations(self) -> list[int]:
        """Return the generations of all jobs, the oldest job first."""
        return [row["generation"] for row in await self.jobs.fetch("SELECT generation FROM jobs ORDER BY id")]

    async def agrees(self, replay_id: UUID) -> None:
        """Assert that the counts of a replay are those of its items."""
        counted = await self.jobs.fetch(
            "SELECT state, count(*) FROM replay_items WHERE replay_id = $1 GROUP BY state", replay_id
        )
        found = {row["state"]: row["count"] for row in counted}
        counts = msgspec.to_builtins((await self.control.find(replay_id)).items)
        assert counts == {str(state): found.get(state, 0) for state in ItemState}
