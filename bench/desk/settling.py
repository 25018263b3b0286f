"""What counting dead letters costs: `python -m bench.desk.settling`.

Settles of failed jobs with and without the trigger that appends to the deltas of groups, in turn; and beside a reap of
jobs of the same group, with the folder at work.
"""

import argparse
import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import aiosql
import asyncpg
import msgspec
import uvloop

from bench.measures import Latency
from bench.progress import Progress, stopwatch
from bench.stack import WORKER, Target, private_stack
from bench.webhooks.endings import Endings
from chassis.postgres import Database
from chassis.settings import DatabaseSettings
from operations.alerts.alerts import Alerts
from operations.groups.folding import FoldGroups

CLIENTS = 8
TENANTS = 4
ERROR = msgspec.json.encode(
    {
        "code": "worker_lost",
        "message": "Worker gpu-1 was lost during attempt 4.",
        "retryable": True,
        "stage": "render",
    }
).decode()
"""The error of a reaped job, so that all letters are of one group."""
NEEDLESS = (WORKER, "operations", "webhooks", "gateway", "status", "edge", "s3", "rabbitmq", "epmd")

queries: Any = aiosql.from_path(Path(__file__).with_name("settling.sql"), "asyncpg")


class Settles(msgspec.Struct, frozen=True):
    """Settles of failed jobs."""

    per_second: float
    latency: Latency


class Stage:
    """A database with running jobs, and connections that settle them."""

    def __init__(self, endings: Endings, pool: asyncpg.Pool, folder: FoldGroups) -> None:
        self._endings = endings
        self._pool = pool
        self._folder = folder

    async def alone(self, count: int, *, counted: bool) -> Settles:
        """Settle jobs, with or without the trigger."""
        await (queries.enable_counting if counted else queries.disable_counting)(self._endings.database)
        numbers = await self._endings.add(count, [None])
        await self._endings.write_out()
        settles = await self._settle(numbers)
        await queries.enable_counting(self._endings.database)
        return settles

    async def beside_reap(self, count: int, lost: int) -> Settles:
        """Settle jobs while others of their group are reaped and folded. Check that each letter is counted."""
        before = await self._folded()
        gone, numbers = await self._endings.add(lost, [None]), await self._endings.add(count, [None])
        await queries.lose(self._endings.database, first=gone.start, count=lost)
        await self._endings.write_out()
        stop = asyncio.Event()
        folding = asyncio.create_task(self._folder.run(stop))
        reaping = asyncio.create_task(self._reap(lost))
        settles = await self._settle(numbers)
        await reaping
        stop.set()
        await folding
        assert await self._folded() == before + count + lost
        return settles

    async def _settle(self, numbers: range) -> Settles:
        samples: list[float] = []
        waiting = iter(numbers)
        began = time.perf_counter()
        await asyncio.gather(*(self._work(waiting, samples) for _ in range(CLIENTS)))
        return Settles(len(numbers) / (time.perf_counter() - began), Latency.of(samples))

    async def _work(self, numbers: Iterator[int], samples: list[float]) -> None:
        async with self._pool.acquire() as connection:
            for number in numbers:
                began = time.perf_counter()
                assert await queries.fail(connection, number=number, error=ERROR), "the job was running"
                samples.append((time.perf_counter() - began) * 1000)

    async def _reap(self, lost: int) -> None:
        async with self._pool.acquire() as connection:
            reaped = 0
            while reaped < lost:
                reaped += await queries.reap(connection)

    async def _folded(self) -> int:
        while await self._folder.run_once():
            pass
        return int(await queries.count_folded(self._endings.database))


async def measure(target: Target, rounds: int, count: int, progress: Progress) -> list[str]:
    """Return the lines of the report."""
    database = await asyncpg.connect(target.database)
    pool = await asyncpg.create_pool(target.database, min_size=CLIENTS + 1, max_size=CLIENTS + 1)
    async with Database(DatabaseSettings(database_url=target.database), "bench") as folding:
        stage = Stage(await Endings.prepare(database, TENANTS), pool, FoldGroups(folding, Alerts("")))
        without, counted, beside = [], [], []
        for number in range(1, rounds + 1):
            without.append(await stage.alone(count, counted=False))
            counted.append(await stage.alone(count, counted=True))
            beside.append(await stage.beside_reap(count, count))
            progress(
                f"round {number}: {without[-1].per_second:,.0f}/s without, {counted[-1].per_second:,.0f}/s counted,"
                f" p99 {counted[-1].latency.p99:.1f} ms, beside a reap {beside[-1].latency.p99:.1f} ms"
            )
    await pool.close()
    await database.close()
    ratio = median(after.per_second / before.per_second for before, after in zip(without, counted, strict=True))
    return [
        f"Settles of failed jobs of one group, {CLIENTS} connections, {rounds} rounds of {count:,}; medians.",
        "",
        "| | measured | target |",
        "|---|---:|---|",
        f"| settles/s, letters not counted | {median(each.per_second for each in without):,.0f} | |",
        f"| settles/s, counted | {median(each.per_second for each in counted):,.0f} | |",
        f"| ratio of a round | {ratio:.2f} | at least 0.9 |",
        f"| p99 of a settle, alone | {median(each.latency.p99 for each in counted):.1f} ms | |",
        f"| p99 of a settle beside a reap and the folder | {median(each.latency.p99 for each in beside):.1f} ms"
        " | under 50 ms |",
    ]


async def main(quick: bool) -> None:
    with private_stack() as target:
        for program in NEEDLESS:
            target.supervisor.stop(program)
        lines = await measure(target, *((3, 500) if quick else (7, 4_000)), stopwatch())
    print("\n".join(["", *lines, ""]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.desk.settling")
    parser.add_argument("--quick", action="store_true", help="few settles and short rounds")
    uvloop.run(main(parser.parse_args().quick))
