"""What counting dead letters costs: `python -m bench.desk.settling`.

Settles of failed jobs with and without the trigger that appends to the deltas of groups, in turn; and beside a reap of
jobs of the same group, with the folder at work.
"""

import argparse
import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import aiosql
import asyncpg
import msgspec
import uvloop

from bench import pgbench
from bench.measures import Latency, cpu_seconds
from bench.progress import Progress, stopwatch
from bench.stack import POSTGRES, WORKER, Target, private_stack
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
_SCRIPT = Path(__file__).with_name("settling.pgbench")

queries: Any = aiosql.from_path(Path(__file__).with_name("settling.sql"), "asyncpg")


class Plan(msgspec.Struct, frozen=True):
    """The extent of a run. Short rounds in turn: a disturbance of the machine affects few of them."""

    rounds: int
    count: int
    """Settles of a round, on each side."""
    reaps: int
    """Rounds beside a reap of as many jobs."""


FULL, QUICK = Plan(rounds=20, count=2_000, reaps=7), Plan(rounds=4, count=400, reaps=2)


class Settles(msgspec.Struct, frozen=True):
    """Settles of failed jobs."""

    per_second: float
    latency: Latency
    cpu_microseconds: float
    """CPU time of PostgreSQL for each."""


class Stage:
    """A database with running jobs, which many clients settle at once."""

    def __init__(self, target: Target, endings: Endings, reaper: asyncpg.Connection, folder: FoldGroups) -> None:
        self._target = target
        self._endings = endings
        self._reaper = reaper
        self._folder = folder

    async def in_turn(self, rounds: int, count: int) -> tuple[list[Settles], list[Settles]]:
        """Settle jobs, letters not counted and counted, and return the rounds of both."""
        jobs = [{counted: await self._endings.add(count, [None]) for counted in (False, True)} for _ in range(rounds)]
        await self._endings.write_out()
        settles: dict[bool, list[Settles]] = {False: [], True: []}
        for number, numbers in enumerate(jobs):
            for counted in (False, True) if number % 2 else (True, False):
                await (queries.enable_counting if counted else queries.disable_counting)(self._endings.database)
                await self._endings.checkpoint()
                settles[counted].append(await self._settle(numbers[counted]))
        await queries.enable_counting(self._endings.database)
        return settles[False], settles[True]

    async def beside_reap(self, count: int) -> Settles:
        """Settle jobs while others of their group are reaped and folded. Check that each letter is counted."""
        before = await self._folded()
        gone, numbers = await self._endings.add(count, [None]), await self._endings.add(count, [None])
        await queries.lose(self._endings.database, first=gone.start, count=count)
        await self._endings.write_out()
        stop = asyncio.Event()
        folding = asyncio.create_task(self._folder.run(stop))
        settles, _ = await asyncio.gather(self._settle(numbers), self._reap(count))
        stop.set()
        await folding
        assert await self._folded() == before + 2 * count
        return settles

    async def _settle(self, numbers: range) -> Settles:
        each = len(numbers) // CLIENTS
        postgres = self._target.supervisor.pids()[POSTGRES]
        began = cpu_seconds(postgres)
        values = {"first": numbers.start, "each": each, "done": 0, "error": ERROR}
        run = await asyncio.to_thread(
            pgbench.run, _SCRIPT, self._target.database, clients=CLIENTS, each=each, values=values
        )
        used = (cpu_seconds(postgres) - began) * 1e6 / len(numbers)
        return Settles(run.per_second, run.latency, used)

    async def _reap(self, lost: int) -> None:
        reaped = 0
        while reaped < lost:
            reaped += await queries.reap(self._reaper)

    async def _folded(self) -> int:
        while await self._folder.run_once():
            pass
        return int(await queries.count_folded(self._endings.database))


async def measure(target: Target, plan: Plan, progress: Progress) -> list[str]:
    """Empty the database, and return the lines of the report."""
    database, reaper = await asyncpg.connect(target.database), await asyncpg.connect(target.database)
    async with Database(DatabaseSettings(database_url=target.database), "bench") as folding:
        stage = Stage(target, await Endings.prepare(database, TENANTS), reaper, FoldGroups(folding, Alerts("")))
        without, counted = await stage.in_turn(plan.rounds, plan.count)
        progress(f"{plan.rounds} rounds of settles of failed jobs")
        beside = []
        for _ in range(plan.reaps):
            beside.append(await stage.beside_reap(plan.count))
            progress(f"beside a reap: p99 {beside[-1].latency.p99:.1f} ms")
    await reaper.close()
    await database.close()
    return render(plan, without, counted, beside)


def render(plan: Plan, without: Sequence[Settles], counted: Sequence[Settles], beside: Sequence[Settles]) -> list[str]:
    """Return the lines of the report."""
    rate = _ratio(without, counted, lambda each: each.per_second)
    used = _ratio(counted, without, lambda each: each.cpu_microseconds)
    p99s = sorted(each.latency.p99 for each in beside)
    return [
        f"Settles of failed jobs of one group by {CLIENTS} clients of pgbench: {plan.rounds} rounds of {plan.count:,}"
        f" in turn, and {plan.reaps} beside a reap of {plan.count:,} jobs of the same group. Medians.",
        "",
        "| | measured | target |",
        "|---|---:|---|",
        f"| settles/s, letters not counted | {median(each.per_second for each in without):,.0f} | |",
        f"| settles/s, counted | {median(each.per_second for each in counted):,.0f} | |",
        f"| ratio of a round | {rate:.3f} | at least 0.9 |",
        f"| CPU time of PostgreSQL, ratio of a round | {used:.3f} | |",
        f"| CPU time of PostgreSQL for each, counted | {median(each.cpu_microseconds for each in counted):.0f} us | |",
        f"| p99 of a settle, alone | {median(each.latency.p99 for each in counted):.1f} ms | |",
        f"| p99 of a settle beside a reap and the folder | {median(p99s):.1f} ms ({p99s[0]:.1f} to {p99s[-1]:.1f})"
        " | under 50 ms |",
    ]


def _ratio(before: Sequence[Settles], after: Sequence[Settles], figure: Callable[[Settles], float]) -> float:
    """Return the median of the rounds' ratios, so that a disturbance of the machine affects both sides."""
    return median(figure(each) / figure(other) for other, each in zip(before, after, strict=True))


async def main(plan: Plan) -> None:
    with private_stack(without=NEEDLESS) as target:
        lines = await measure(target, plan, stopwatch())
    print("\n".join(["", *lines, ""]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.desk.settling")
    parser.add_argument("--quick", action="store_true", help="few settles and short rounds")
    uvloop.run(main(QUICK if parser.parse_args().quick else FULL))
