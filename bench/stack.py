"""A private stack to measure: its own folder, ports and data, removed afterwards."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from darkroom_local import stack
from darkroom_local.blueprint import Blueprint
from darkroom_local.home import Home
from darkroom_local.state import State

MODEL = os.environ.get("DARKROOM_MODEL", "tiny")
READY_SECONDS = 60.0
# The load runs far past what one tenant may have waiting.
_SETTINGS = {
    "DARKROOM_MAX_QUEUED_JOBS": "10000000",
    "DARKROOM_MAX_QUEUED_JOBS_PER_TENANT": "10000000",
    "DARKROOM_LOG_LEVEL": "warning",
}


class Target:
    """The running stack as the benchmarks see it."""

    def __init__(self, blueprint: Blueprint, key: str) -> None:
        self._blueprint = blueprint
        self.key = key
        settings = blueprint.settings
        self.gateway = f"http://127.0.0.1:{settings['DARKROOM_GATEWAY_PORT']}"
        self.status = f"http://127.0.0.1:{settings['DARKROOM_STATUS_PORT']}"
        self.edge = blueprint.edge.url
        self.database = settings["DARKROOM_DATABASE_URL"]
        self.settings = settings

    @property
    def environment(self) -> dict[str, str]:
        """For a service that is started by hand."""
        return {**os.environ, **self.settings}

    def pids(self) -> dict[str, int]:
        """The running programs by name."""
        return {name: state.pid for name, state in self._blueprint.supervisor.states().items() if state.pid}

    @contextmanager
    def without_worker(self) -> Iterator[None]:
        """Rendering would take the CPU that the measured process needs."""
        supervisor = self._blueprint.supervisor
        supervisor.stop("gpu-consumer")
        while "gpu-consumer" in self.pids():
            time.sleep(0.1)
        try:
            yield
        finally:
            supervisor.start("gpu-consumer")
            wait_ready(f"http://127.0.0.1:{self._blueprint.settings['DARKROOM_CONSUMER_PORT']}")


@contextmanager
def private_stack(model: str = MODEL, prepare: Callable[[Path], None] | None = None) -> Iterator[Target]:
    """Start a stack in a temporary folder; stop and remove it. `prepare` puts models into its folder for them."""
    os.environ.update(_SETTINGS, DARKROOM_MODEL=model)
    with tempfile.TemporaryDirectory(prefix="darkroom-bench-") as folder:
        home = Home(Path(folder))
        try:
            if prepare:
                home.create()
                prepare(home.models_home)
            blueprint = stack.up(home)
            yield Target(blueprint, State.load(home).keys["client"])
        finally:
            stack.down(home)


@contextmanager
def echo_server() -> Iterator[str]:
    """The yardstick in a process of its own; yields its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", "bench.echo", str(port)], stderr=subprocess.DEVNULL)
    try:
        wait_ready(f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}/echo"
    finally:
        process.terminate()
        process.wait(timeout=30)


def wait_ready(origin: str, seconds: float = READY_SECONDS) -> None:
    """Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{origin}/readyz", timeout=5).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise TimeoutError(f"{origin} is not ready after {seconds:g} s.")
