"""The stacks of one run: start them, measure them, and check that every accepted job was published."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import asyncpg

from bench.broker import await_messages, waiting_messages
from bench.checkout import Checkout
from bench.measures import Latency, Submitter, resident_megabytes, submit_to_claim
from bench.plan import Plan
from bench.progress import Progress
from bench.scenarios import BODY, Rounds, Scenario, Side, measure_backlog, warm_up
from bench.stack import WORKER, private_stack

IDLE_SECONDS = 5
"""Pause after the start, for the services to become idle."""


@asynccontextmanager
async def open_sides(checkouts: Mapping[str, Checkout], progress: Progress) -> AsyncIterator[list[Side]]:
    """Start a private stack of each checkout, and yield them when they are idle."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="darkroom-bench-")))
        sides = []
        for name, checkout in checkouts.items():
            progress(f"starting {name}, {checkout.commit()}")
            target = stack.enter_context(private_stack(checkout=checkout))
            database = await asyncpg.connect(target.database)
            stack.push_async_callback(database.close)
            sides.append(Side(name, target, database, folder))
        await asyncio.sleep(IDLE_SECONDS)
        yield sides


def idle_memory(side: Side) -> dict[str, float]:
    """Return the resident memory of each program in megabytes (10^6 bytes)."""
    return {name: resident_megabytes(pid) for name, pid in sorted(side.target.supervisor.pids().items())}


async def idle_latencies(sides: Sequence[Side], plan: Plan) -> list[Latency]:
    """Measure the latency from submit to claim on the sides in turn."""
    submitters = [Submitter(side.target.gateway, side.target.key, BODY) for side in sides]
    samples: list[list[float]] = [[] for _ in sides]
    for _ in range(plan.submissions):
        for side, submitter, taken in zip(sides, submitters, samples, strict=True):
            taken.append(await submit_to_claim(side.database, submitter))
    return [Latency.of(taken) for taken in samples]


async def measure_loads(
    sides: Sequence[Side], plan: Plan, scenarios: Sequence[Scenario], progress: Progress
) -> dict[int, dict[str, Rounds]]:
    """Measure every backlog, without workers: rendering takes CPU time from the measured processes.

    Returns the rounds by backlog and side. Raises MessagesMissingError unless every accepted job has its message in the
    broker.
    """
    for side in sides:
        side.target.supervisor.stop(WORKER)
    before = [waiting_messages(side.target) for side in sides]
    await warm_up(sides, plan)
    loads = {queued: await measure_backlog(sides, queued, plan, progress, scenarios) for queued in plan.backlogs}
    for side, messages in zip(sides, before, strict=True):
        await_messages(side.target, messages + side.accepted)
        progress(f"{side.name}: all {side.accepted:,} accepted jobs have reached the broker")
    return loads
