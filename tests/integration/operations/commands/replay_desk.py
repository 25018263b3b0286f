"""The commands of replays beside a running service, whose dead letters and jobs a test makes and ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any
from uuid import UUID

import msgspec

from darkroom_contracts.api.replays import BulkReplay
from tests.integration.operations.jobs import INPUT, Jobs
from tests.support.commands import Finished, darkroom
from tests.support.processes import ServiceProcess
from tests.support.terminals import Terminal, terminal

ROUND_SECONDS = 0.05


class ReplayDesk:
    """Runs `darkroom` with an operator's key against a service."""

    def __init__(self, operations: ServiceProcess, key: str, jobs: Jobs) -> None:
        self.operations = operations
        self.jobs = jobs
        self._environment = {"DARKROOM_URL": operations.url, "DARKROOM_OPERATOR_KEY": key}

    def with_key(self, key: str) -> "ReplayDesk":
        """Return the same desk for another key."""
        return ReplayDesk(self.operations, key, self.jobs)

    async def dead(self, number: int) -> list[UUID]:
        """Insert dead jobs whose input is complete, and return the ids of their letters."""
        encoded = msgspec.json.encode(INPUT).decode()
        made = [await self.jobs.dead(input=f"'{encoded}'") for _ in range(number)]
        return [(await self.jobs.letter(job_id))["id"] for job_id in made]

    async def run(self, *arguments: object) -> Finished:
        """Run a command without a terminal."""
        return await darkroom(*map(str, arguments), **self._environment)

    def terminal(self, *arguments: object, columns: int = 160) -> AbstractAsyncContextManager[Terminal]:
        """Run a command in a terminal."""
        return terminal(*map(str, arguments), columns=columns, **self._environment)

    async def planned(self, *arguments: object) -> UUID:
        """Plan a replay, and return its id."""
        plan = await self.run("dead-letters", "replay", *arguments, "--dry-run", "--json")
        return UUID(plan.json["id"])

    async def shown(self, replay_id: UUID) -> BulkReplay:
        """Return a replay as `show` prints it."""
        printed = (await self.run("replays", "show", replay_id, "--json")).json
        return msgspec.convert(printed["replay"], BulkReplay)

    async def end(self, status: str, at_most: int = 1000) -> int:
        """End queued jobs. Return how many."""
        waiting = await self.jobs.fetch("SELECT id FROM jobs WHERE status = 'queued' ORDER BY id LIMIT $1", at_most)
        for row in waiting:
            await self.jobs.finish(row["id"], await self.jobs.claim(row["id"]), status)
        return len(waiting)

    @asynccontextmanager
    async def worker(self, status: str = "succeeded", at_once: int = 1000) -> AsyncIterator[None]:
        """End every queued job with that status, `at_once` of them twenty times a second."""

        async def work() -> None:
            while True:
                await self.end(status, at_once)
                await asyncio.sleep(ROUND_SECONDS)

        working = asyncio.create_task(work())
        try:
            yield
        finally:
            working.cancel()
            with suppress(asyncio.CancelledError):
                await working


def counted(replay: BulkReplay) -> dict[str, Any]:
    """Return the counts of a replay that are not zero."""
    return {state: number for state, number in msgspec.to_builtins(replay.items).items() if number}
