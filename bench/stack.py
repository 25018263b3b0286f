"""Private stacks for measurements, with their own folder, ports and data. They are removed afterwards."""

import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import httpx2

from bench.checkout import Checkout
from bench.supervision import Supervisor
from darkroom_local.services import read_services

MODEL = os.environ.get("DARKROOM_MODEL", "tiny")
WORKER = "gpu-consumer"
POSTGRES = "postgres"
PORT_SETTINGS = {service.name: service.port_setting for service in read_services()}
"""Of this checkout's services; another checkout that is measured has the same ones under the same names."""
READY_SECONDS = 60.0
UP_SECONDS = 600
# The load exceeds the default bounds of the queue. Everything else is as in production: logs at info level, in files.
_SETTINGS = {
    "DARKROOM_MAX_QUEUED_JOBS": "10000000",
    "DARKROOM_MAX_QUEUED_JOBS_PER_TENANT": "10000000",
    "DARKROOM_LOG_LEVEL": "info",
}
_LOCATIONS = ("DARKROOM_HOME", "DARKROOM_PORT", "DARKROOM_STACK", "DARKROOM_MODELS_HOME")


class Target:
    """A running stack: its URLs, keys, settings and supervisor."""

    def __init__(self, checkout: Checkout, home: Path) -> None:
        self.checkout = checkout
        self.home = home
        self.settings = read_settings((home / "env").read_text())
        self.supervisor = Supervisor(home)
        self.key = self.settings["DARKROOM_API_KEY"]
        self.gateway = self.origin("gateway")
        self.status = self.origin("status")
        self.edge = self.settings["DARKROOM_URL"]
        self.database = self.settings["DARKROOM_DATABASE_URL"]

    @property
    def environment(self) -> dict[str, str]:
        """The environment for a service that a benchmark starts itself."""
        return {**os.environ, **self.settings}

    def origin(self, service: str) -> str:
        """Return the origin of a service's own HTTP port."""
        return f"http://127.0.0.1:{self.settings[PORT_SETTINGS[service]]}"

    def restart(self, service: str) -> None:
        """Start a stopped service and wait until it is ready. Raises TimeoutError."""
        self.supervisor.start(service)
        wait_ready(self.origin(service))

    @contextmanager
    def without_worker(self) -> Iterator[None]:
        """Stop the worker for the length of the context: rendering takes CPU time from the measured process."""
        self.supervisor.stop(WORKER)
        try:
            yield
        finally:
            self.restart(WORKER)


@contextmanager
def private_stack(
    model: str = MODEL,
    prepare: Callable[[Path], None] | None = None,
    checkout: Checkout | None = None,
    without: Iterable[str] = (),
) -> Iterator[Target]:
    """Start a stack in a temporary folder; stop and remove it at the end.

    `prepare` is called with the stack's models folder before the start; the programs of `without` are stopped after it.
    Raises RuntimeError when the stack fails.
    """
    checkout = checkout or Checkout.own()
    # The default action would end this process at once and leave the stack running.
    signal.signal(signal.SIGTERM, _exit)
    with tempfile.TemporaryDirectory(prefix="darkroom-bench-") as folder:
        home = Path(folder)
        if prepare:
            (home / "models").mkdir()
            prepare(home / "models")
        try:
            _run(checkout, home, model, "up")
            target = Target(checkout, home)
            for program in without:
                target.supervisor.stop(program)
            yield target
        finally:
            _run(checkout, home, model, "down")


@contextmanager
def echo_server() -> Iterator[str]:
    """Run the baseline server in its own process and yield its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.echo", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_ready(f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}/echo"
    finally:
        process.terminate()
        process.wait(timeout=30)


def wait_ready(origin: str, seconds: float = READY_SECONDS) -> None:
    """Wait until a service is ready. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if httpx2.get(f"{origin}/readyz", timeout=5).status_code == httpx2.codes.OK:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.1)
    raise TimeoutError(f"{origin} is not ready after {seconds:g} s.")


def read_settings(env_file: str) -> dict[str, str]:
    """Return the DARKROOM_ assignments of a stack's environment file."""
    words = shlex.split(env_file)
    return dict(word.split("=", 1) for word in words if word.startswith("DARKROOM_") and "=" in word)


def _exit(number: int, frame: object) -> NoReturn:
    raise SystemExit(128 + number)


def _run(checkout: Checkout, home: Path, model: str, command: str) -> None:
    """Run a command of the checkout's local stack. Raises RuntimeError with its output when it fails."""
    done = subprocess.run(
        [checkout.python, "-m", "darkroom_local", command],
        cwd=checkout.folder,
        env=_environment(os.environ, home, model),
        capture_output=True,
        text=True,
        check=False,
        timeout=UP_SECONDS,
    )
    if done.returncode:
        raise RuntimeError(f"`darkroom_local {command}` failed:\n{done.stdout}{done.stderr}")


def _environment(caller: Mapping[str, str], home: Path, model: str) -> dict[str, str]:
    kept = {name: value for name, value in caller.items() if name not in _LOCATIONS}
    return {**kept, **_SETTINGS, "DARKROOM_HOME": str(home), "DARKROOM_MODEL": model}
