"""Workers with other settings, one at a time, on a stack whose own worker is stopped."""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from bench.stack import WORKER, Target, wait_ready

WARM_SECONDS = 900.0
"""Time to become ready. Compiling a full-size model takes minutes."""
STOP_SECONDS = 60


class Worker:
    """A warm worker."""

    def __init__(self, url: str) -> None:
        self._url = url

    def figures(self) -> dict[str, float]:
        """Return the values of its metrics without labels, by name."""
        text = httpx2.get(f"{self._url}/metrics", timeout=10).text
        samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
        return {sample.name: sample.value for sample in samples if not sample.labels}


@contextmanager
def worker(target: Target, settings: Mapping[str, str], module: str = "gpu_consumer") -> Iterator[Worker]:
    """Start a worker with these settings added to the stack's, wait until it is warm, and stop it at the end."""
    url = target.origin(WORKER)
    command = [str(target.checkout.python), "-m", module]
    with (target.home / "logs" / "bench-worker.log").open("ab") as log:
        process = subprocess.Popen(command, env={**target.environment, **settings}, stdout=log, stderr=log)
    try:
        wait_ready(url, WARM_SECONDS)
        yield Worker(url)
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)
