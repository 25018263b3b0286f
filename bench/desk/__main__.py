"""`python -m bench.desk`: measure the desk of this checkout, print the figures and record them."""

import argparse
import asyncio
from collections.abc import Mapping

import asyncpg
import msgspec
import uvloop

from bench.checkout import Checkout
from bench.desk import settling
from bench.desk.filling import fill, queries
from bench.desk.ingesting import Rate, ingest_rejected, ingest_undecodable
from bench.desk.looking import GROUPS, LISTS, SEARCHES, Looks
from bench.measures import Latency
from bench.progress import Progress, stopwatch
from bench.report import write_desk
from bench.stack import WORKER, Target, private_stack

NEEDLESS = (WORKER, "gateway", "status", "webhooks", "edge", "s3")
SERVICE = "operations"


class Plan(msgspec.Struct, frozen=True):
    """The extent of a run."""

    letters: int
    looks: int
    """Pages of each query."""
    messages: int
    """Messages of each ingest."""
    settling: settling.Plan


FULL = Plan(1_000_000, 200, 20_000, settling.FULL)
QUICK = Plan(20_000, 20, 2_000, settling.QUICK)


async def main(plan: Plan) -> None:
    progress = stopwatch()
    with private_stack(without=NEEDLESS) as target:
        lines = [
            *await measure_letters(target, plan, progress),
            "",
            *await settling.measure(target, plan.settling, progress),
        ]
    print("\n".join(["", *lines, ""]))
    print(
        f"Recorded in {write_desk(Checkout.own().commit(), lines)}"
        if plan is FULL
        else "Not recorded: --quick is a trial run."
    )


async def measure_letters(target: Target, plan: Plan, progress: Progress) -> list[str]:
    """Fill the database, and return the lines of looks and, with operations stopped, of ingests."""
    database = await asyncpg.connect(target.database, command_timeout=600)
    await fill(database, plan.letters, progress)
    latencies = await asyncio.to_thread(measure, target, plan.looks)
    progress(f"{len(latencies)} queries")
    target.supervisor.stop(SERVICE)
    jobs = [(row["job_id"], row["tenant_id"]) async for row in queries.some_jobs(database, at_most=plan.messages)]
    await queries.checkpoint(database)
    rates = {"rejected": await ingest_rejected(target, jobs)}
    assert await queries.count_completed(database) == len(jobs), "each message completed its letter"
    await queries.checkpoint(database)
    rates["undecodable"] = await ingest_undecodable(target, plan.messages)
    progress("ingests")
    await database.close()
    return render(plan, latencies, rates)


def measure(target: Target, looks: int) -> dict[str, Latency]:
    """Return the latency of each look."""
    client = Looks(target)
    queries_of = {**LISTS, **SEARCHES}
    found = {name: client.letters(query, looks) for name, query in queries_of.items()}
    return found | {name: client.one(path, looks) for name, path in GROUPS.items()}


def render(plan: Plan, latencies: Mapping[str, Latency], rates: Mapping[str, Rate]) -> list[str]:
    """Return the lines of the report."""
    return [
        f"{plan.letters:,} dead letters, two of three open. {plan.looks} pages of each query over HTTP, one at a time:"
        " the first and those that follow.",
        "",
        "| | p50 ms | p99 ms | target |",
        "|---|---:|---:|---|",
        *(f"| {name} | {each.median:.1f} | {each.p99:.1f} | {_target(name)} |" for name, each in latencies.items()),
        "",
        "| ingest of messages | messages/s | CPU time for each, us | of PostgreSQL, us | target |",
        "|---|---:|---:|---:|---|",
        *(
            f"| {name} | {rate.per_second:,.0f} | {rate.own_microseconds:.0f} | {rate.postgres_microseconds:.0f}"
            " | 2,000 messages/s |"
            for name, rate in rates.items()
        ),
    ]


def _target(name: str) -> str:
    return "p50 < 100 ms" if name.startswith("search") else "p50 < 50 ms, p99 < 200 ms"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.desk")
    parser.add_argument("--quick", action="store_true", help="few letters and short rounds, record nothing")
    uvloop.run(main(QUICK if parser.parse_args().quick else FULL))
