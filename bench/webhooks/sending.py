"""The rate at which one dispatcher sends a backlog of deliveries."""

import asyncio

import msgspec
import psutil

from bench.measures import cpu_seconds
from bench.stack import Target
from bench.webhooks.dispatcher import dispatching
from bench.webhooks.endings import Endings, queries
from bench.webhooks.receiver import Receivers
from bench.webhooks.waiting import until

TENANTS = 8
ORIGINS = 32
"""Enough that neither the bound of a tenant nor that of an origin limits the rate."""
RECORD_SECONDS = 30


class Sending(msgspec.Struct, frozen=True, kw_only=True):
    """How a backlog was sent. CPU times are milliseconds for each delivery."""

    deliveries: int
    seconds: float
    dispatcher_ms: float
    postgres_ms: float
    receiver_ms: float
    megabytes: float

    @property
    def rate(self) -> float:
        """Deliveries per second, recorded ones, from the first attempt to the end of the last one."""
        return self.deliveries / self.seconds


async def measure_sending(target: Target, endings: Endings, receivers: Receivers, backlog: int) -> Sending:
    """Send a backlog to receivers that answer at once. Raises TimeoutError."""
    await endings.settle_all(await endings.add(backlog, receivers.urls))
    await endings.write_out()
    postgres, own = target.supervisor.pids()["postgres"], psutil.Process().pid
    before = cpu_seconds(postgres), cpu_seconds_of_self(own)
    async with dispatching(target) as dispatcher:
        await until(lambda: len(receivers.arrivals.times) == backlog)
        await _recorded(endings, backlog)
        used = dispatcher.cpu_seconds(), cpu_seconds(postgres) - before[0], cpu_seconds_of_self(own) - before[1]
    return Sending(
        deliveries=backlog,
        seconds=await queries.sending_seconds(endings.database),
        dispatcher_ms=1000 * used[0] / backlog,
        postgres_ms=1000 * used[1] / backlog,
        receiver_ms=1000 * used[2] / backlog,
        megabytes=dispatcher.megabytes,
    )


def cpu_seconds_of_self(pid: int) -> float:
    """Return the CPU time of this process without its children."""
    return float(sum(psutil.Process(pid).cpu_times()[:2]))


async def _recorded(endings: Endings, backlog: int) -> None:
    """Wait until the last attempts are recorded. It polls only once all have arrived, so it costs nothing before."""
    async with asyncio.timeout(RECORD_SECONDS):
        while await queries.count_deliveries(endings.database, status="succeeded") < backlog:  # noqa: ASYNC110 - it is in another process
            await asyncio.sleep(0.05)
