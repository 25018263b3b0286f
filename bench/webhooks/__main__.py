"""`python -m bench.webhooks`: measure this checkout, print the figures and record them."""

import argparse
from collections.abc import Sequence

import asyncpg
import uvloop

from bench.checkout import Checkout
from bench.progress import Progress, stopwatch
from bench.report import write_webhooks
from bench.stack import Target, private_stack
from bench.webhooks import latency, sending
from bench.webhooks.dispatcher import NEEDLESS
from bench.webhooks.endings import Endings
from bench.webhooks.latency import Latencies, measure_latencies
from bench.webhooks.plan import FULL, QUICK, Plan
from bench.webhooks.receiver import open_receivers
from bench.webhooks.report import Results, render
from bench.webhooks.sending import Sending, measure_sending
from bench.webhooks.settles import TENANTS, WORKERS, Settles, measure_settles


class Session:
    """The measurements on one stack."""

    def __init__(self, target: Target, database: asyncpg.Connection, plan: Plan, progress: Progress) -> None:
        self._target = target
        self._database = database
        self._plan = plan
        self._progress = progress

    async def run(self) -> Results:
        """Measure everything."""
        settles = [await self._settles(workers) for workers in WORKERS]
        sendings = [await self._sending(sending.TENANTS, sending.ORIGINS) for _ in range(self._plan.backlogs)]
        to_one = [await self._sending(1, 1) for _ in range(self._plan.backlogs)]
        pairs = [[await self._latency(hung) for hung in (0, self._plan.hung)] for _ in range(self._plan.latency_rounds)]
        return Results(settles, sendings, to_one, [alone for alone, _ in pairs], [beside for _, beside in pairs])

    async def _settles(self, workers: int) -> Settles:
        endings = await Endings.prepare(self._database, TENANTS)
        return await measure_settles(endings, self._target.database, self._plan, self._progress, workers=workers)

    async def _sending(self, tenants: int, origins: int) -> Sending:
        endings = await Endings.prepare(self._database, tenants)
        async with open_receivers(origins) as receivers:
            sent = await measure_sending(self._target, endings, receivers, self._plan.backlog)
        self._progress(
            f"sending a backlog, origins: {origins}, {sent.rate:,.0f}/s,"
            f" {sent.dispatcher_ms:.2f} ms of the dispatcher's CPU each"
        )
        return sent

    async def _latency(self, hung: int) -> Latencies:
        endings = await Endings.prepare(self._database, latency.TENANTS)
        async with open_receivers(latency.TENANTS) as receivers:
            found = await measure_latencies(self._target, endings, receivers, self._plan, hung=hung)
        beside = f"beside {found.hanging} requests that hang" if hung else "alone"
        self._progress(f"end to receipt, {beside}: p50 {found.p50:.1f} ms, p99 {found.p99:.1f} ms")
        return found


async def main(plan: Plan) -> None:
    progress = stopwatch()
    progress("starting a stack")
    with private_stack(without=NEEDLESS) as target:
        database = await asyncpg.connect(target.database)
        results = await Session(target, database, plan, progress).run()
        await database.close()
    _show(render(results, plan), plan)


def _show(lines: Sequence[str], plan: Plan) -> None:
    print("\n".join(["", *lines, ""]))
    recorded = write_webhooks(Checkout.own().commit(), lines) if plan.recorded else None
    print(f"Recorded in {recorded}" if recorded else "Not recorded: --quick is a trial run.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.webhooks")
    parser.add_argument("--quick", action="store_true", help="run short rounds on small backlogs, record nothing")
    uvloop.run(main(QUICK if parser.parse_args().quick else FULL))
