"""Services as processes that a test controls."""

import asyncio
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx2
import psutil

from darkroom_local.ports import LOOPBACK
from darkroom_local.probes import http_status
from darkroom_local.program import base_environment
from darkroom_local.services import read_services
from tests.support.children import Child
from tests.support.ports import free_port
from tests.support.renderers import REAL, STAND_IN
from tests.support.waiting import eventually

SERVICES = {service.package: service for service in read_services()}
"""All services by package."""


class ServiceProcess:
    """`python -m <service>` with the given DARKROOM_ settings, on a free port unless the settings name one.

    `command` replaces the command line, for example by one that runs the same service with a fault.
    """

    def __init__(
        self, service: str, settings: Mapping[str, str], log: Path, *, command: Sequence[str] | None = None
    ) -> None:
        port_setting = SERVICES[service].port_setting
        self.service = service
        self._command = command or (sys.executable, "-m", service)
        self.settings = {port_setting: str(free_port()), **settings}
        self.port = int(self.settings[port_setting])
        self.log = log
        self._child = self._start()

    def _start(self) -> Child:
        environment = {**base_environment(), **self.settings}
        return Child(self._command, environment, self.log.parent, self.log)

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def returncode(self) -> int | None:
        """Exit code; None while it runs, negative for a signal that ended it."""
        return self._child.returncode

    @property
    def frozen(self) -> bool:
        """Whether it is stopped by SIGSTOP."""
        return self._child.running and psutil.Process(self.pid).status() == psutil.STATUS_STOPPED

    async def ready(self, seconds: float = 60) -> None:
        """Wait until it is ready.

        Raises TimeoutError after `seconds`, or RuntimeError when it ends instead, both with its last log lines.
        """

        ready_path = SERVICES[self.service].ready_path

        async def settled() -> bool:
            return not self._child.running or await asyncio.to_thread(http_status, self.port, ready_path) == 200

        try:
            await eventually(settled, seconds=seconds, what=f"{self.service} is ready")
        except TimeoutError as error:
            raise TimeoutError(f"{error}; its log ends:\n{self._child.tail()}") from error
        if not self._child.running:
            raise RuntimeError(f"{self.service} ended with {self.returncode}; its log ends:\n{self._child.tail()}")

    async def metric(self, sample: str) -> float:
        """Return the value of a sample of its metrics, named with its labels, or 0 where it is missing."""
        async with httpx2.AsyncClient(timeout=10, trust_env=False) as http:
            lines = (await http.get(f"{self.url}{SERVICES[self.service].metrics_path}")).text.splitlines()
        return next((float(line.split()[-1]) for line in lines if line.startswith(f"{sample} ")), 0.0)

    async def wait(self, seconds: float = 60) -> int:
        """Wait until it ends by itself and return its exit code. Raises TimeoutError."""
        return await self._child.wait(seconds)

    async def stop(self, seconds: float = 60) -> int:
        """Send SIGTERM, wait for its drain and return its exit code. Raises TimeoutError."""
        return await self._child.stop(seconds)

    def terminate(self) -> None:
        """Send SIGTERM without waiting."""
        self._child.send(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL, to a frozen or ended process too, and reap it."""
        self._child.kill()

    def freeze(self) -> None:
        """Send SIGSTOP: it does not run until it is thawed."""
        self._child.send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Send SIGCONT."""
        self._child.send(signal.SIGCONT)

    async def restart(self) -> None:
        """Start it again with the same settings and port after a stop or kill, and wait until it is ready."""
        self._child = self._start()
        await self.ready()

    def output(self) -> str:
        """Return its log over all starts."""
        return self.log.read_text(errors="replace")


def render_process(worker: ServiceProcess) -> psutil.Process:
    """Return the render process of a GPU consumer."""
    children = psutil.Process(worker.pid).children()
    (found,) = [child for child in children if not {REAL, STAND_IN}.isdisjoint(child.cmdline())]
    return found
