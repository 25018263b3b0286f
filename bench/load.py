"""HTTP load by wrk: one thread, so that the servers under test keep most of a small machine."""

import os
import shutil
import subprocess
from pathlib import Path

import msgspec

_SCRIPT = Path(__file__).with_name("load.lua")


class Figures(msgspec.Struct, frozen=True):
    """What one run measured. `refused` counts answers that were no 2xx or 3xx, `broken` lost connections."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    refused: int
    broken: int

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds


class LoadError(Exception):
    """The load could not be run, or not every answer was a success."""


def measure(url: str, *, key: str = "", body: bytes | None = None, connections: int = 32, seconds: int = 5) -> Figures:
    """Keep `connections` busy with one request over and over. Raises LoadError if any answer is not a success."""
    if shutil.which("wrk") is None:
        raise LoadError("wrk is not installed; `make bench` installs it.")
    environment = {**os.environ, "LOAD_METHOD": "POST" if body else "GET", "LOAD_KEY": key}
    if body:
        environment["LOAD_BODY"] = body.decode()
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(_SCRIPT), url]
    output = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds + 60, check=True)
    figures = msgspec.json.decode(output.stdout.strip().splitlines()[-1], type=Figures)
    if figures.refused or figures.broken:
        raise LoadError(f"{url}: {figures.refused} refused and {figures.broken} broken of {figures.requests} requests.")
    return figures
