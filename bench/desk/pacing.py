"""`python -m bench.desk.pacing`: measure the pace of bulk replays, print the figures and record them.

A real process of operations replays, the gateway's relay publishes to RabbitMQ, and no worker runs. In the middle of
some rounds operations is killed; its supervisor starts it again.
"""

import argparse
import asyncio
import math
import os
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import aiosql
import asyncpg
import httpx2
import msgspec
import uvloop

from bench.checkout import Checkout
from bench.progress import Progress, stopwatch
from bench.report import write_pace
from bench.stack import WORKER, Target, private_stack
from darkroom_contracts.api.replays import MAX_PACE

SECONDS, QUICK_SECONDS = 60.0, 10.0
NEEDLESS = (WORKER, "status", "webhooks", "edge", "s3")
SERVICE = "operations"
REPLAYS = "/v1/operations/replays"
AT_ONCE = 2_000
"""Letters of the round without a pace."""
WAITING_SECONDS = 120.0
ERROR = msgspec.json.encode(
    {"code": "pipeline_error", "message": "The scheduler failed at step 7.", "retryable": False, "stage": "render"}
).decode()

queries: Any = aiosql.from_path(Path(__file__).with_name("pacing.sql"), "asyncpg")


class Plan(msgspec.Struct, frozen=True):
    """A round: its pace in letters a second, and how often operations is killed meanwhile."""

    pace: float
    kills: int = 0


PLANS = (Plan(10), Plan(50, kills=1), Plan(MAX_PACE))


class Paced(msgspec.Struct, frozen=True):
    """What a round replayed in its time."""

    plan: Plan
    seconds: float
    items: int
    longest_pause: float
    """In seconds."""

    @property
    def share(self) -> float:
        """Of what the pace allows."""
        return self.items / (self.plan.pace * self.seconds)


class Stage:
    """Dead letters, and replays of them over HTTP."""

    def __init__(self, target: Target, database: asyncpg.Connection, tenant: UUID) -> None:
        self._target = target
        self._database = database
        self._tenant = tenant
        key = target.settings["DARKROOM_OPERATOR_KEY"]
        self._desk = httpx2.AsyncClient(
            base_url=target.origin(SERVICE), headers={"Authorization": f"Bearer {key}"}, timeout=30
        )

    async def close(self) -> None:
        await self._desk.aclose()

    async def keep_pace(self, plan: Plan, seconds: float) -> Paced:
        """Replay at a pace for some seconds, with kills in between. Check that no job was queued twice."""
        replay_id = await self._started(math.ceil(plan.pace * seconds * 1.1), plan.pace)
        began = time.monotonic()
        for number in range(plan.kills):
            await asyncio.sleep(began + seconds * (number + 1) / (plan.kills + 1) - time.monotonic())
            os.kill(self._target.supervisor.pids()[SERVICE], signal.SIGKILL)
        await asyncio.sleep(began + seconds + 1 - time.monotonic())
        found = await queries.paced(self._database, id=replay_id, seconds=seconds)
        await self._end(replay_id)
        return Paced(plan, seconds, found["items"], found["longest_pause"])

    async def hurry(self, letters: int) -> float:
        """Replay without a pace, and return the letters a second."""
        replay_id = await self._started(letters, None)
        began = time.monotonic()
        await _eventually(partial(self._is_over, replay_id))
        taken = time.monotonic() - began
        await self._end(replay_id)
        return letters / taken

    async def _started(self, letters: int, pace: float | None) -> UUID:
        since = await queries.now(self._database)
        await queries.bury(self._database, tenant=self._tenant, count=letters)
        assert await queries.fail(self._database, error=ERROR) == letters
        await self._database.execute("VACUUM ANALYZE jobs, dead_letters, replays, replay_items")
        scope = {"created_after": since.isoformat(), "kind": "job"}
        replay = await self._post("", {"scope": scope, "pace": pace})
        replay_id = UUID(replay["id"])
        await _eventually(partial(self._is_planned, replay_id))
        await self._post(f"/{replay_id}/start", {"count": letters})
        return replay_id

    async def _end(self, replay_id: UUID) -> None:
        """Cancel the rest. Each job that was replayed must have one new generation, and its message be published."""
        await _eventually(self._is_ready)
        if not await self._is_over(replay_id):
            await self._post(f"/{replay_id}/cancel", {})
        await _eventually(partial(self._is_published, replay_id))
        found = await queries.check(self._database, id=replay_id)
        assert found["items"] == found["once"], "a job was queued twice, or not at all"

    async def _is_planned(self, replay_id: UUID) -> bool:
        return bool((await self._get(replay_id))["status"] == "planned")

    async def _is_over(self, replay_id: UUID) -> bool:
        return not (await self._get(replay_id))["items"]["pending"]

    async def _is_ready(self) -> bool:
        try:
            return (await self._desk.get("/readyz")).status_code == httpx2.codes.OK
        except httpx2.TransportError:
            return False

    async def _is_published(self, replay_id: UUID) -> bool:
        return not (await queries.check(self._database, id=replay_id))["unpublished"]

    async def _get(self, replay_id: UUID) -> Any:
        return (await self._desk.get(f"{REPLAYS}/{replay_id}")).raise_for_status().json()

    async def _post(self, path: str, body: Any) -> Any:
        return (await self._desk.post(REPLAYS + path, json=body)).raise_for_status().json()


async def _eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WAITING_SECONDS):
        while not await holds():  # noqa: ASYNC110 - other processes set no event of ours
            await asyncio.sleep(0.05)


async def measure(target: Target, plans: Sequence[Plan], seconds: float, progress: Progress) -> list[str]:
    """Return the lines of the report."""
    database = await asyncpg.connect(target.database)
    stage = Stage(target, database, await queries.make_tenant(database))
    rounds = []
    for plan in plans:
        rounds.append(await stage.keep_pace(plan, seconds))
        progress(f"{plan.pace:g}/s, {plan.kills} kills: {rounds[-1].share:.3f}, {rounds[-1].longest_pause:.2f} s")
    fastest = await stage.hurry(AT_ONCE)
    await stage.close()
    await database.close()
    return render(rounds, seconds, fastest)


def render(rounds: Sequence[Paced], seconds: float, fastest: float) -> list[str]:
    """Return the lines of the report."""
    return [
        f"Bulk replays of one process of operations over {seconds:g} s, with the relay and RabbitMQ; each job that was"
        " replayed has exactly one new generation and its message. A kill is a SIGKILL in the middle.",
        "",
        "| pace, letters/s | kills | replayed | of the pace | longest pause s | target |",
        "|---:|---:|---:|---:|---:|---|",
        *(
            f"| {each.plan.pace:g} | {each.plan.kills} | {each.items:,} | {each.share:.3f} | {each.longest_pause:.2f}"
            " | 0.95 to 1.05 |"
            for each in rounds
        ),
        f"| none | 0 | {AT_ONCE:,} | {fastest:,.0f} letters/s | | |",
    ]


async def main(quick: bool) -> None:
    with private_stack(without=NEEDLESS) as target:
        lines = await measure(target, PLANS, QUICK_SECONDS if quick else SECONDS, stopwatch())
    print("\n".join(["", *lines, ""]))
    if quick:
        print("Not recorded: --quick is a trial run.")
    else:
        print(f"Recorded in {write_pace(Checkout.own().commit(), lines)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.desk.pacing")
    parser.add_argument("--quick", action="store_true", help="short rounds")
    uvloop.run(main(parser.parse_args().quick))
