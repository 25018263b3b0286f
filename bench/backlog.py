"""How a worker works off a backlog: how long a job takes beyond its render, and how much of the time is idle."""

import statistics
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from uuid import UUID

import asyncpg
import msgspec

from bench.measures import Latency, wait_until_done

JOBS = 200


class Taken(msgspec.Struct, frozen=True):
    """One job of a backlog."""

    started_at: datetime
    """Its claim, by the database's clock."""
    inference_ms: float
    """In the pipeline, by the render process's own clock: prompt, steps and decode."""


class Pace(msgspec.Struct, frozen=True):
    """A backlog's way through one worker.

    From one claim to the next, one job is rendered, and all else that passes is overhead: pixels to the worker, the
    next message, its claim, the request to the render process. Claim to claim the offsets cancel out, so nothing has
    to be measured inside. Only the first job's differs: it is claimed by an idle worker, the others while the job
    before them is decoded. So the time begins with the second claim.
    """

    jobs: int
    inference_ms: float
    """Median."""
    overhead: Latency
    idle_share: float
    """Of the time between the second claim and the last: the part in which the render process did not render."""

    @classmethod
    def of(cls, taken: Sequence[Taken]) -> "Pace":
        """`taken` in any order, four jobs at least."""
        line = sorted(taken, key=lambda job: job.started_at)[1:]
        gaps = [_milliseconds(one, other) - one.inference_ms for one, other in pairwise(line)]
        return cls(
            jobs=len(taken),
            inference_ms=statistics.median(job.inference_ms for job in line),
            overhead=Latency.of(gaps),
            idle_share=sum(gaps) / _milliseconds(line[0], line[-1]),
        )


async def work_off(database: asyncpg.Connection, jobs: list[UUID]) -> Pace:
    """Wait until one worker has rendered them all."""
    await wait_until_done(database, jobs)
    rows = await database.fetch(
        "SELECT started_at, (metrics ->> 'inference_ms')::float AS inference_ms FROM jobs WHERE id = ANY($1)", jobs
    )
    return Pace.of([Taken(row["started_at"], row["inference_ms"]) for row in rows])


def middle(paces: Sequence[Pace]) -> Pace:
    """The medians of several rounds."""

    def median(figure: str) -> float:
        return float(statistics.median(getattr(pace, figure) for pace in paces))

    overhead = Latency(*(statistics.median(getattr(pace.overhead, end) for pace in paces) for end in ("median", "p99")))
    return Pace(paces[0].jobs, median("inference_ms"), overhead, median("idle_share"))


def _milliseconds(one: Taken, other: Taken) -> float:
    return 1000 * (other.started_at - one.started_at).total_seconds()
