"""HTTP load by wrk, with one thread, which leaves most of a small machine to the servers under test."""

import os
import secrets
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import msgspec

_SCRIPT = Path(__file__).with_name("load.lua")
CONNECTIONS = 32


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """The request that a load repeats."""

    url: str
    """With `paths`, only its origin is used."""
    key: str = ""
    """API key."""
    body: bytes | None = None
    """Body of a POST; None for a GET."""
    distinct_keys: bool = False
    """Whether each request has a new Idempotency-Key."""
    paths: Path | None = None
    """File with one path per line, requested in turn."""

    def environment(self) -> dict[str, str]:
        """Return the environment that load.lua reads."""
        values = {
            "LOAD_METHOD": "GET" if self.body is None else "POST",
            "LOAD_KEY": self.key,
            "LOAD_DISTINCT_KEYS": "yes" if self.distinct_keys else "no",
            "LOAD_SEED": str(secrets.randbits(31)),
        }
        if self.body is not None:
            values["LOAD_BODY"] = self.body.decode()
        if self.paths is not None:
            values["LOAD_PATHS"] = str(self.paths)
        return values


class Drain(msgspec.Struct, frozen=True):
    """The rest of the relay's work when a load of submissions ended."""

    depth: int
    """Rows in the outbox at the end of the load."""
    seconds: float
    """Time from the end of the load until the outbox was empty."""


class Figures(msgspec.Struct, frozen=True):
    """Figures of one load. `refused` counts responses other than 2xx and 3xx, `broken` lost connections."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    refused: int
    broken: int
    drain: Drain | None = None
    """Set for a load of submissions."""
    cpu_seconds: float | None = None
    """CPU time of all processes of the stack, the drain included. It depends less on other load than the rate does."""

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds

    @property
    def tail(self) -> float:
        """The 99th percentile over the median."""
        return self.p99_ms / self.p50_ms

    @property
    def cpu_ms(self) -> float:
        """CPU milliseconds for each request."""
        assert self.cpu_seconds is not None, "measured on a whole stack only"
        return 1000 * self.cpu_seconds / self.requests

    @property
    def published(self) -> float:
        """Jobs accepted and published per second, from the first request until the outbox was empty."""
        assert self.drain is not None, "only submissions are published"
        return self.requests / (self.seconds + self.drain.seconds)


class LoadError(Exception):
    """The load could not run, or not every response was a success."""


def measure(request: Request, seconds: int, connections: int = CONNECTIONS) -> Figures:
    """Run a load on `connections` connections. Raises LoadError if any response is not a success."""
    if shutil.which("wrk") is None:
        raise LoadError("wrk is not installed. `make bench` installs it.")
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(_SCRIPT), request.url]
    environment = {**os.environ, **request.environment()}
    output = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds + 60, check=True)
    figures = msgspec.json.decode(output.stdout.strip().splitlines()[-1], type=Figures)
    if figures.refused or figures.broken:
        raise LoadError(
            f"{request.url}: {figures.refused} refused and {figures.broken} broken of {figures.requests} requests."
        )
    return figures


def write_paths(file: Path, paths: Sequence[str]) -> Path:
    """Write a file for `Request.paths` and return it."""
    file.write_text("".join(f"{path}\n" for path in paths))
    return file
