"""`python -m bench.webhooks.cold_start`: a dispatcher starts while a thousand endpoints hang, and healthy ones wait.

A process that starts knows nothing of any receiver. All deliveries are due: one for each endpoint that hangs, and some
for each healthy one. Measured is the time until the healthy ones have arrived, where the others failed before, and
where nothing was ever sent to anybody.
"""

import time
from statistics import median

import asyncpg
import msgspec
import uvloop

from bench.progress import Progress, stopwatch
from bench.stack import Target, private_stack
from bench.webhooks.dispatcher import NEEDLESS, dispatching
from bench.webhooks.endings import Endings, queries
from bench.webhooks.receiver import Receivers, open_receivers
from bench.webhooks.waiting import until

TENANTS = 20
HEALTHY = 400
"""Deliveries to healthy receivers: 20 for each tenant."""
HUNG = 1_000
TIMEOUT_SECONDS = 300


class ColdStart(msgspec.Struct, frozen=True):
    """Seconds from the dispatcher's readiness to the healthy receipts, and its resident memory in 10^6 bytes."""

    first: float
    p50: float
    last: float
    hanging: int
    """The most requests that hung at a time."""
    megabytes_before: float
    megabytes: float


async def measure_cold_start(
    target: Target, endings: Endings, receivers: Receivers, *, hung: int, known: bool
) -> ColdStart:
    """Start a dispatcher beside `hung` endpoints that hang, and failed before if `known`. Raises TimeoutError."""
    if hung:
        await queries.add_hung_endpoints(endings.database, tenants=endings.tenants, urls=receivers.hung_urls(hung))
        await endings.settle_all(await endings.add(TENANTS, [None], metadata='{"to": "hung"}'))
    if known:
        await queries.let_all_have_failed(endings.database)
    healthy = await endings.add(HEALTHY, receivers.urls)
    await endings.settle_all(healthy)
    await endings.write_out()
    async with dispatching(target) as dispatcher:
        began, before = time.time(), dispatcher.megabytes
        await until(lambda: receivers.arrivals.times.keys() >= set(healthy), seconds=TIMEOUT_SECONDS)
        seconds = sorted(max(0.0, receivers.arrivals.times[number] - began) for number in healthy)
        return ColdStart(
            seconds[0], median(seconds), seconds[-1], receivers.arrivals.most_hanging, before, dispatcher.megabytes
        )


CASES = {
    "alone": (0, False),
    f"beside {HUNG:,} endpoints that hang and failed before": (HUNG, True),
    f"beside {HUNG:,} that hang, of which nothing is known": (HUNG, False),
}
"""How many hang, and whether they are known to fail."""


async def measure(target: Target, progress: Progress) -> None:
    """Measure each case and print its figures."""
    database = await asyncpg.connect(target.database)
    for case, (hung, known) in CASES.items():
        endings = await Endings.prepare(database, TENANTS)
        async with open_receivers(TENANTS) as receivers:
            found = await measure_cold_start(target, endings, receivers, hung=hung, known=known)
        progress(
            f"{case}: first {found.first:.2f} s, p50 {found.p50:.2f} s, last {found.last:.2f} s;"
            f" {found.hanging} hung at a time; {found.megabytes_before:.0f} to {found.megabytes:.0f} MB"
        )
    await database.close()


async def main() -> None:
    progress = stopwatch()
    progress("starting a stack")
    with private_stack(without=NEEDLESS) as target:
        await measure(target, progress)


if __name__ == "__main__":
    uvloop.run(main())
