"""`make bench-backlog`: the effect of the republish sweep on a long and old backlog.

A waiting job needs no second message. The benchmark counts redundant messages while a worker and the operations
service run, and measures the growth of the tables and the rate of POST with and without the sweep. `--checkout`
measures another checkout.
"""

import argparse
import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import asyncpg
import msgspec

from bench.backlogs import FILL_SECONDS, Backlog, fill, queries
from bench.broker import waiting_messages
from bench.checkout import Checkout
from bench.load import Figures, Request, measure
from bench.progress import Progress, stopwatch
from bench.report import write_republish
from bench.scenarios import BODY
from bench.stack import MODEL, WORKER, Target, private_stack
from bench.tables import p50, p99, rate, ratio, typical

OPERATIONS = "operations"
AGES = timedelta(days=3)
DUE = timedelta(minutes=10)
"""Age at which earlier versions publish a waiting job again."""
SWEEPING, RESTING = "sweep on", "sweep off"
SWEEPING_SECONDS, RESTING_SECONDS = 20, 3
"""Pause between a start or stop of the operations service and the load. Its sweeps begin one lease after the start."""
PUBLISH_SECONDS = 1800.0


class Plan(msgspec.Struct, frozen=True):
    """The extent of a run."""

    jobs: int
    watch_seconds: int
    rounds: int
    seconds: int
    """Length of each load."""


FULL = Plan(jobs=1_000_000, watch_seconds=180, rounds=5, seconds=8)
QUICK = Plan(jobs=20_000, watch_seconds=30, rounds=1, seconds=3)


class Flows(msgspec.Struct, frozen=True):
    """Counts of messages while the outbox is empty."""

    jobs: int
    claims: int
    returns: int
    """Returns of a job to its queue, each with a message."""
    waiting: int
    """Messages in the broker."""

    @property
    def redundant(self) -> int:
        """Messages beyond the one for each time that a job was queued."""
        return self.waiting + self.claims - self.jobs - self.returns


class Watch(msgspec.Struct, frozen=True):
    """Changes of a backlog while it waited."""

    seconds: int
    redundant: int
    jobs_bytes: tuple[int, int]
    """Size of the table with its indexes, before and after."""
    outbox_bytes: tuple[int, int]


async def main(checkout: Checkout, plan: Plan, recorded: bool) -> None:
    progress = stopwatch()
    progress(f"starting {checkout.commit()}")
    with private_stack(checkout=checkout) as target:
        async with connected(target) as database:
            await publish_backlog(target, database, plan, progress)
            watch = await watch_backlog(target, database, plan, progress)
            rounds = await measure_posts(target, plan, progress)
            progress("counting messages")
            total = await count_flows(target, database, progress)
    lines = report(plan, watch, rounds, total.redundant)
    print("\n".join(["", *lines, ""]))
    if recorded:
        print(f"Recorded in {write_republish(checkout.commit(), lines)}")


@asynccontextmanager
async def connected(target: Target) -> AsyncIterator[asyncpg.Connection]:
    database = await asyncpg.connect(target.database)
    try:
        yield database
    finally:
        await database.close()


async def publish_backlog(target: Target, database: asyncpg.Connection, plan: Plan, progress: Progress) -> None:
    """Fill database and broker with jobs that were queued over the last days, and with their messages."""
    for service in (WORKER, OPERATIONS):
        target.supervisor.stop(service)
    await fill(database, Backlog(model=MODEL, queued=plan.jobs, succeeded=0, span=AGES, due=DUE), progress)
    await queries.create_wanted_outbox(database)
    await queries.queue_messages(database)
    await queries.insert_wanted_messages(database)
    await drained(database, progress)
    if await queries.remembers_announcements(database):
        await database.execute(queries.backdate_announcements.sql, timeout=FILL_SECONDS)
    for command in (queries.compact, queries.vacuum_outbox, queries.checkpoint):
        await database.execute(command.sql, timeout=FILL_SECONDS)


async def watch_backlog(target: Target, database: asyncpg.Connection, plan: Plan, progress: Progress) -> Watch:
    """Run a worker and the sweeps for a while without submissions."""
    before = await count_flows(target, database, progress)
    jobs, outbox = await table_bytes(database)
    target.restart(OPERATIONS)
    target.restart(WORKER)
    progress(f"watching {before.waiting:,} messages for {plan.watch_seconds} s")
    await asyncio.sleep(plan.watch_seconds)
    for service in (WORKER, OPERATIONS):
        target.supervisor.stop(service)
    grown_jobs, grown_outbox = await table_bytes(database)
    after = await count_flows(target, database, progress)
    progress(f"{after.claims:,} jobs were claimed, {after.redundant - before.redundant:,} messages published twice")
    return Watch(plan.watch_seconds, after.redundant - before.redundant, (jobs, grown_jobs), (outbox, grown_outbox))


async def measure_posts(target: Target, plan: Plan, progress: Progress) -> dict[str, list[Figures]]:
    """Measure the rate of submissions with and without the sweep in turn. The sweep is stopped at the end."""
    wanted = Request(url=f"{target.gateway}/v1/jobs", key=target.key, body=BODY, distinct_keys=True)
    measure(wanted, 1)  # so that no round includes the cost of first connections
    rounds: dict[str, list[Figures]] = {SWEEPING: [], RESTING: []}
    for number in range(plan.rounds):
        for state in (SWEEPING, RESTING):
            await switch_sweeps(target, state)
            figures = measure(wanted, plan.seconds)
            progress(f"round {number + 1} of {plan.rounds}: POST, {state}: {figures.rate:,.0f}/s")
            rounds[state].append(figures)
    return rounds


async def count_flows(target: Target, database: asyncpg.Connection, progress: Progress) -> Flows:
    """Count jobs and messages when the outbox is empty. Nothing may submit or retry jobs during the count."""
    await drained(database, progress)
    waiting = await asyncio.to_thread(waiting_messages, target)
    return Flows(**dict(await queries.count_flows(database)), waiting=waiting)


async def drained(database: asyncpg.Connection, progress: Progress) -> None:
    """Wait until the relay has emptied the outbox. Raises TimeoutError."""
    deadline = time.monotonic() + PUBLISH_SECONDS
    while depth := await queries.outbox_depth(database):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{depth:,} messages were not published within {PUBLISH_SECONDS:g} s.")
        progress(f"{depth:,} messages to publish")
        await asyncio.sleep(min(15.0, 0.5 + depth / 10_000))


async def table_bytes(database: asyncpg.Connection) -> tuple[int, int]:
    """Return the sizes of the tables jobs and outbox with their indexes, in bytes."""
    return await queries.table_bytes(database, name="jobs"), await queries.table_bytes(database, name="outbox")


async def switch_sweeps(target: Target, state: str) -> None:
    """Start or stop the operations service, and wait until that takes effect."""
    if state == SWEEPING:
        target.restart(OPERATIONS)
        await asyncio.sleep(SWEEPING_SECONDS)
    else:
        target.supervisor.stop(OPERATIONS)
        await asyncio.sleep(RESTING_SECONDS)


def report(plan: Plan, watch: Watch, rounds: dict[str, list[Figures]], redundant: int) -> list[str]:
    """Return the lines of the report."""
    on, off = rounds[SWEEPING], rounds[RESTING]
    return [
        f"{plan.jobs:,} jobs wait, the oldest for {AGES.days} days, each with its message. A worker and the sweeps ran"
        f" for {watch.seconds} s; then POST was measured in {plan.rounds} rounds with and without the sweep in turn.",
        "",
        "| | measured | target |",
        "|---|---:|---|",
        f"| messages published twice while the backlog waited | {watch.redundant:,} | 0 |",
        f"| messages published twice in the whole run | {redundant:,} | 0 |",
        f"| table `jobs` with indexes, before → after waiting | {_megabytes(watch.jobs_bytes)} | |",
        f"| table `outbox` with indexes | {_megabytes(watch.outbox_bytes)} | |",
        f"| POST /v1/jobs, sweep on / off | {ratio(off, on, rate):.2f} | 0.95 |",
        *(_post_row(state, own) for state, own in rounds.items()),
    ]


def _post_row(state: str, own: list[Figures]) -> str:
    times = f"p50 {typical(own, p50):.1f} ms, p99 {typical(own, p99):.1f} ms"
    return f"| POST /v1/jobs, {state} | {typical(own, rate):,.0f}/s, {times} | |"


def _megabytes(sizes: tuple[int, int]) -> str:
    before, after = sizes
    return f"{before / 1e6:,.0f} MB → {after / 1e6:,.0f} MB"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.republish", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="use a small backlog for half a minute and record nothing")
    parser.add_argument("--checkout", type=Path, metavar="FOLDER", help="measure another checkout, after `make setup`")
    return parser.parse_args()


if __name__ == "__main__":
    wanted = _arguments()
    which = Checkout.at(wanted.checkout) if wanted.checkout else Checkout.own()
    asyncio.run(main(which, QUICK if wanted.quick else FULL, recorded=not wanted.quick))
