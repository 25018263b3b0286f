"""`make bench-idle`: the idle share of a worker on a backlog, with and without overlap of storing and rendering.

DARKROOM_MODEL names the model; the default is `tiny`.
"""

import argparse
import asyncio
from collections.abc import Mapping

import asyncpg

from bench.backlog import JOBS, Pace, work_off
from bench.measures import Submitter, request
from bench.progress import Progress
from bench.report import write_idle
from bench.slow_worker import DECODE_MS
from bench.stack import MODEL, Target, private_stack
from bench.workers import worker

ROUNDS = 3
STEPS, SIZE = 8, 64
"""Small, so that overhead dominates."""
VARIANTS: Mapping[str, Mapping[str, str]] = {
    "job N is stored while N+1 renders": {"DARKROOM_OVERLAP": "true"},
    "one job after the other": {"DARKROOM_OVERLAP": "false"},
}


async def main(size: int, steps: int, rounds: int, decode_ms: float) -> None:
    with private_stack() as target:
        database = await asyncpg.connect(target.database)
        with target.without_worker():
            paces = await compare(target, database, size, steps, rounds, decode_ms=decode_ms)
        await database.close()
    decode = f", decode slowed down by {decode_ms:g} ms" if decode_ms else ""
    what = f"{MODEL}, {size}x{size}, {steps} steps{decode}. Medians of {rounds} rounds."
    print(write_idle(f"{MODEL} {size}", what, paces).read_text())


async def compare(
    target: Target,
    database: asyncpg.Connection,
    size: int = SIZE,
    steps: int = STEPS,
    rounds: int = ROUNDS,
    progress: Progress = print,
    decode_ms: float = 0,
) -> dict[str, list[Pace]]:
    """Measure the variants in turn, round by round, and return all paces by variant.

    In this order a disturbance of the machine affects both variants.
    """
    submitter = Submitter(target.gateway, target.key, request(MODEL, steps, width=size, height=size))
    paces: dict[str, list[Pace]] = {name: [] for name in VARIANTS}
    for number in range(rounds):
        for name, settings in VARIANTS.items():
            progress(f"idle share, round {number + 1} of {rounds}: {name}")
            jobs = [
                submitter.submit() for _ in range(JOBS)
            ]  # before the worker starts: a backlog from its first job on
            module, slower = ("bench.slow_worker", {DECODE_MS: str(decode_ms)}) if decode_ms else ("gpu_consumer", {})
            with worker(target, {**settings, **slower}, module):
                paces[name].append(await work_off(database, jobs))
    return paces


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.idle")
    parser.add_argument("--size", type=int, default=SIZE, help="width and height in pixels")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--decode-ms", type=float, default=0, help="milliseconds to add to the decode of each job")
    asyncio.run(main(**vars(parser.parse_args())))
