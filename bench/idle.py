"""`make bench-idle`: the idle share over a backlog, with storing overlapped and one job after the other.

DARKROOM_MODEL names the model, `tiny` unless told otherwise.
"""

import asyncio
from collections.abc import Mapping

import asyncpg

from bench.backlog import JOBS, Pace, work_off
from bench.measures import Submitter, request
from bench.report import write_idle
from bench.stack import MODEL, Target, private_stack
from bench.workers import worker

ROUNDS = 3
STEPS = 8
VARIANTS: Mapping[str, Mapping[str, str]] = {
    "job N is stored while N+1 renders": {"DARKROOM_OVERLAP": "true"},
    "one job after the other": {"DARKROOM_OVERLAP": "false"},
}


async def main() -> None:
    with private_stack() as target:
        database = await asyncpg.connect(target.database)
        with target.without_worker():
            paces = await compare(target, database)
        await database.close()
    print(write_idle(paces).read_text())


async def compare(target: Target, database: asyncpg.Connection, rounds: int = ROUNDS) -> dict[str, list[Pace]]:
    """Each variant's paces, a round each in turn, so that a noisy minute strikes both alike."""
    submitter = Submitter(target.gateway, target.key, request(MODEL, STEPS))
    paces: dict[str, list[Pace]] = {name: [] for name in VARIANTS}
    for number in range(rounds):
        for name, settings in VARIANTS.items():
            print(f"round {number + 1} of {rounds}: {name} ...")
            jobs = [submitter.submit() for _ in range(JOBS)]  # before the worker: a backlog from its first job on
            with worker(target, settings):
                paces[name].append(await work_off(database, jobs))
    return paces


if __name__ == "__main__":
    asyncio.run(main())
