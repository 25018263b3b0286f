"""Measurements on a running stack other than load: latency, CPU time and memory."""

import statistics
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import httpx2
import msgspec
import psutil

JOB_TIMEOUT_SECONDS = 900.0
PROMPT = (
    "a lighthouse on a rocky coast at dusk, oil on canvas, long shadows over a calm sea, warm light in the windows,"
    " gulls above the water, thin clouds, visible brush strokes, muted colours, highly detailed"
)
NEGATIVE_PROMPT = "blurry, low contrast, oversaturated, text, watermark"


class Latency(msgspec.Struct, frozen=True):
    """Latency in milliseconds."""

    median: float
    p99: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> "Latency":
        """Compute median and 99th percentile of at least two samples."""
        return cls(statistics.median(samples), statistics.quantiles(samples, n=100)[98])


def request(model: str, steps: int, **wanted: int) -> bytes:
    """Return the body of a submission with the benchmarks' prompt; `wanted` is added to its input."""
    job_input = {"prompt": PROMPT, "negative_prompt": NEGATIVE_PROMPT, "num_inference_steps": steps, **wanted}
    return msgspec.json.encode({"model": model, "input": job_input, "metadata": {"order": "1234"}})


class Submitter:
    """Submits jobs to the gateway directly, without the edge."""

    def __init__(self, gateway_url: str, key: str, body: bytes) -> None:
        self._client = httpx2.Client(base_url=gateway_url, headers={"Authorization": f"Bearer {key}"}, timeout=10)
        self._body = body

    def submit(self) -> UUID:
        """Submit a job and return its id. Raises httpx2.HTTPError."""
        answer = self._client.post("/v1/jobs", content=self._body, headers={"Content-Type": "application/json"})
        answer.raise_for_status()
        return UUID(answer.json()["id"])


async def submit_to_claim(database: asyncpg.Connection, submitter: Submitter) -> float:
    """Return the milliseconds from sending a request to the claim that Postgres recorded, on an idle system.

    Both times are of this machine's clock. Raises RuntimeError and TimeoutError.
    """
    sent = datetime.now(UTC)
    job = submitter.submit()
    await wait_until_done(database, [job])
    started = await database.fetchval("SELECT started_at FROM jobs WHERE id = $1", job)
    return float((started - sent).total_seconds() * 1000)


async def wait_until_done(database: asyncpg.Connection, jobs: list[UUID]) -> None:
    """Wait until all jobs succeeded. Raises RuntimeError when one ends otherwise, TimeoutError after 15 minutes."""
    deadline = time.monotonic() + JOB_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        states = dict(
            await database.fetch("SELECT status, count(*) FROM jobs WHERE id = ANY($1) GROUP BY status", jobs)
        )
        if states == {"succeeded": len(jobs)}:
            return
        if states.keys() - {"queued", "running", "succeeded"}:
            raise RuntimeError(f"Not every job succeeded: {states}")
        time.sleep(0.05)  # noqa: ASYNC251 - nothing else runs in this process
    raise TimeoutError(f"Not all of {len(jobs)} jobs were done in {JOB_TIMEOUT_SECONDS:g} s.")


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of a process and all its descendants, ended ones included."""
    process = psutil.Process(pid)
    return sum(map(_cpu_seconds, [process, *process.children(recursive=True)]))


def resident_megabytes(pid: int) -> float:
    """Return the resident memory of a process and all its descendants in megabytes (10^6 bytes)."""
    process = psutil.Process(pid)
    return sum(each.memory_info().rss for each in [process, *process.children(recursive=True)]) / 1e6


def _cpu_seconds(process: psutil.Process) -> float:
    """Return the CPU seconds of a process and of the children that it reaped, or 0 if it just ended."""
    try:
        return float(sum(process.cpu_times()[:4]))
    except psutil.NoSuchProcess:
        return 0.0
