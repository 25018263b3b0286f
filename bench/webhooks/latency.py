"""The time from the end of a job to its webhook's arrival, alone and beside endpoints that hang."""

import asyncio
import time
from statistics import median, quantiles

import asyncpg
import msgspec

from bench.stack import Target
from bench.webhooks.dispatcher import dispatching
from bench.webhooks.endings import RESULT, Endings, queries
from bench.webhooks.plan import Plan
from bench.webhooks.receiver import Receivers
from bench.webhooks.waiting import until

TENANTS = 20
CONNECTIONS = 8
HUNG_EVENTS = 5
"""Events for each endpoint that hangs."""
HUNG_BEFORE = 50
"""Requests that hang when the measurement begins."""
WARM_SECONDS = 2


class Latencies(msgspec.Struct, frozen=True):
    """Milliseconds from the end of a job, recorded just before its commit, to the arrival of its webhook."""

    p50: float
    p99: float
    longest: float
    jobs: int
    hanging: int
    """The most requests that hung at a time."""
    megabytes: float
    """The largest resident memory of the dispatcher, in 10^6 bytes."""

    @classmethod
    def of(cls, samples: list[float], hanging: int, megabytes: float) -> "Latencies":
        """Compute the figures of at least two samples."""
        return cls(median(samples), quantiles(samples, n=100)[98], max(samples), len(samples), hanging, megabytes)


async def measure_latencies(
    target: Target, endings: Endings, receivers: Receivers, plan: Plan, *, hung: int
) -> Latencies:
    """End jobs at a steady pace while `hung` endpoints of the same tenants hang. Raises TimeoutError."""
    warm = await endings.add(WARM_SECONDS * plan.jobs_per_second, receivers.urls)
    measured = await endings.add(plan.seconds * plan.jobs_per_second, receivers.urls)
    if hung:
        await queries.add_hung_endpoints(endings.database, tenants=endings.tenants, urls=receivers.hung_urls(hung))
    events = await endings.add(HUNG_EVENTS * TENANTS if hung else 0, [None], metadata='{"to": "hung"}')
    await endings.write_out()
    arrivals = receivers.arrivals
    async with (
        dispatching(target) as dispatcher,
        asyncpg.create_pool(target.database, min_size=CONNECTIONS, max_size=CONNECTIONS) as pool,
    ):
        await _settle(pool, warm, plan.jobs_per_second)
        if hung:
            await endings.settle_all(events)
            await until(lambda: arrivals.hanging >= min(hung, HUNG_BEFORE))
        arrivals.most_hanging = arrivals.hanging
        await _settle(pool, measured, plan.jobs_per_second)
        await until(lambda: arrivals.times.keys() >= set(measured))
    completed = {row["number"]: row["completed_at"].timestamp() async for row in queries.completed_at(endings.database)}
    samples = [1000 * (arrivals.times[number] - completed[number]) for number in measured]
    return Latencies.of(samples, arrivals.most_hanging, dispatcher.megabytes)


async def _settle(pool: asyncpg.Pool, numbers: range, pace: int) -> None:
    """End jobs, each in a transaction of its own, at times that do not depend on how long others take."""
    began = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        for nth, number in enumerate(numbers):
            await asyncio.sleep(began + nth / pace - time.monotonic())
            tasks.create_task(queries.settle(pool, number=number, **RESULT))
