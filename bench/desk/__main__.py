"""`python -m bench.desk`: measure the desk of this checkout, print the figures and record them."""

import argparse
import asyncio
from collections.abc import Mapping

import asyncpg
import uvloop

from bench.checkout import Checkout
from bench.desk.filling import fill, queries
from bench.desk.ingesting import Rate, ingest_rejected, ingest_undecodable
from bench.desk.looking import GROUPS, LISTS, SEARCHES, Looks
from bench.measures import Latency
from bench.progress import stopwatch
from bench.report import write_desk
from bench.stack import WORKER, Target, private_stack

LETTERS, QUICK_LETTERS = 1_000_000, 20_000
LOOKS, QUICK_LOOKS = 200, 20
MESSAGES, QUICK_MESSAGES = 20_000, 2_000
NEEDLESS = (WORKER, "gateway", "status", "webhooks", "edge", "s3")
SERVICE = "operations"


async def main(quick: bool) -> None:
    progress = stopwatch()
    letters, looks, messages = (QUICK_LETTERS, QUICK_LOOKS, QUICK_MESSAGES) if quick else (LETTERS, LOOKS, MESSAGES)
    with private_stack() as target:
        for program in NEEDLESS:
            target.supervisor.stop(program)
        database = await asyncpg.connect(target.database, command_timeout=600)
        await fill(database, letters, progress)
        latencies = await asyncio.to_thread(measure, target, looks)
        target.supervisor.stop(SERVICE)
        jobs = [row["job_id"] async for row in queries.some_jobs(database, at_most=messages)]
        rates = {
            "rejected": await ingest_rejected(target, jobs),
            "undecodable": await ingest_undecodable(target, messages),
        }
        await database.close()
    lines = render(letters, looks, latencies, rates)
    print("\n".join(["", *lines, ""]))
    print(
        "Not recorded: --quick is a trial run."
        if quick
        else f"Recorded in {write_desk(Checkout.own().commit(), lines)}"
    )


def measure(target: Target, looks: int) -> dict[str, Latency]:
    """Return the latency of each look."""
    client = Looks(target)
    queries_of = {**LISTS, **SEARCHES}
    found = {name: client.letters(query, looks) for name, query in queries_of.items()}
    return found | {name: client.one(path, looks) for name, path in GROUPS.items()}


def render(letters: int, looks: int, latencies: Mapping[str, Latency], rates: Mapping[str, Rate]) -> list[str]:
    """Return the lines of the report."""
    return [
        f"{letters:,} dead letters, two of three open. {looks} pages of each query over HTTP, one at a time: the first"
        " and those that follow.",
        "",
        "| | p50 ms | p99 ms | target |",
        "|---|---:|---:|---|",
        *(f"| {name} | {each.median:.1f} | {each.p99:.1f} | {_target(name)} |" for name, each in latencies.items()),
        "",
        "| ingest of messages | messages/s | target |",
        "|---|---:|---|",
        *(f"| {name} | {rate.per_second:,.0f} | 2,000 |" for name, rate in rates.items()),
    ]


def _target(name: str) -> str:
    return "p50 < 100 ms" if name.startswith("search") else "p50 < 50 ms, p99 < 200 ms"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.desk")
    parser.add_argument("--quick", action="store_true", help="few letters and short rounds, record nothing")
    uvloop.run(main(parser.parse_args().quick))
