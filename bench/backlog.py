"""The pace of a worker on a backlog: the overhead of a job beyond its render, and the idle share."""

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
    """Time of the claim, by the database's clock."""
    inference_ms: float
    """Time in the pipeline, by the render process's clock: prompt, steps and decode."""


class Pace(msgspec.Struct, frozen=True):
    """How one worker worked through a backlog.

    One job is rendered between two claims. The rest of that time is overhead: transfer of the pixels to the worker, the
    next message, its claim, the request to the render process. Measuring from claim to claim needs no probe inside the
    worker. The first job is excluded: an idle worker claims it, while each later job is claimed during the decode of
    the job before it.
    """

    jobs: int
    inference_ms: float
    """Median."""
    overhead: Latency
    idle_share: float
    """Share of the time between the second and the last claim in which the render process did not render."""

    @classmethod
    def of(cls, taken: Sequence[Taken]) -> "Pace":
        """Compute the pace of at least four jobs, given in any order."""
        line = sorted(taken, key=lambda job: job.started_at)[1:]
        gaps = [_milliseconds(one, other) - one.inference_ms for one, other in pairwise(line)]
        return cls(
            jobs=len(taken),
            inference_ms=statistics.median(job.inference_ms for job in line),
            overhead=Latency.of(gaps),
            idle_share=sum(gaps) / _milliseconds(line[0], line[-1]),
        )


async def work_off(database: asyncpg.Connection, jobs: list[UUID]) -> Pace:
    """Wait until the worker has rendered all jobs, and return its pace. Raises RuntimeError and TimeoutError."""
    await wait_until_done(database, jobs)
    rows = await database.fetch(
        "SELECT started_at, (metrics ->> 'inference_ms')::float AS inference_ms FROM jobs WHERE id = ANY($1)", jobs
    )
    return Pace.of([Taken(row["started_at"], row["inference_ms"]) for row in rows])


def middle(paces: Sequence[Pace]) -> Pace:
    """Return the medians of several rounds."""

    def median(figure: str) -> float:
        return float(statistics.median(getattr(pace, figure) for pace in paces))

    overhead = Latency(*(statistics.median(getattr(pace.overhead, end) for pace in paces) for end in ("median", "p99")))
    return Pace(paces[0].jobs, median("inference_ms"), overhead, median("idle_share"))


def _milliseconds(one: Taken, other: Taken) -> float:
    return 1000 * (other.started_at - one.started_at).total_seconds()
