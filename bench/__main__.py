"""`make bench`: measure a private stack against a bare echo and record the figures."""

import asyncio
from uuid import UUID

import asyncpg
from rich.console import Console
from rich.markdown import Markdown

from bench import idle
from bench.load import Figures, measure
from bench.measures import Submitter, request, resident_megabytes, submit_to_claim, wait_until_done
from bench.report import Results, write
from bench.stack import MODEL, Target, echo_server, private_stack

ROUNDS = 5
SECONDS = 5
BODY = request(MODEL, steps=20)

console = Console()


async def main() -> None:
    with private_stack() as target, echo_server() as echo:
        await asyncio.sleep(5)  # idle means that starting up is over
        memory = {name: resident_megabytes(pid) for name, pid in target.pids().items()}
        submitter = Submitter(target.gateway, target.key, BODY)
        database = await asyncpg.connect(target.database)
        console.print("submit to claim ...")
        latency = await submit_to_claim(database, submitter)
        succeeded = submitter.submit()
        await wait_until_done(database, [succeeded])
        with target.without_worker():
            console.print("idle share ...")
            paces = await idle.compare(target, database)
            rounds = [measure_round(number, target, echo, succeeded) for number in range(ROUNDS)]
            await database.execute("TRUNCATE jobs, outbox CASCADE")  # nothing is left to render
        await database.close()
    echo_post, post, echo_get, get_succeeded, get_queued = map(list, zip(*rounds, strict=True))
    results = Results(
        echo_post=echo_post,
        post=post,
        echo_get=echo_get,
        get_succeeded=get_succeeded,
        get_queued=get_queued,
        submit_to_claim=latency,
        paces=paces,
        memory=memory,
    )
    path = write(results)
    console.print(Markdown(path.read_text()))
    console.print(f"Recorded in {path}")


def measure_round(number: int, target: Target, echo: str, succeeded: UUID) -> tuple[Figures, ...]:
    """Everything once, yardstick and service next to each other."""
    console.print(f"load, round {number + 1} of {ROUNDS} ...")
    return (
        measure(echo, body=BODY, seconds=SECONDS),
        measure(f"{target.gateway}/v1/jobs", key=target.key, body=BODY, seconds=SECONDS),
        measure(echo, seconds=SECONDS),
        measure(f"{target.status}/v1/jobs/{succeeded}", key=target.key, seconds=SECONDS),
        measure(f"{target.status}/v1/jobs/{newest_job(target)}", key=target.key, seconds=SECONDS),
    )


def newest_job(target: Target) -> UUID:
    """A job behind everything that was submitted so far."""
    return Submitter(target.gateway, target.key, BODY).submit()


if __name__ == "__main__":
    asyncio.run(main())
