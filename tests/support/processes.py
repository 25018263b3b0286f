"""Darkroom's own services as processes under a test's control."""

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
from tests.support.waiting import eventually

SERVICES = {service.package: service for service in read_services()}
"""Every service by its package."""


class ServiceProcess:
    """`python -m <service>` with the given DARKROOM_ settings, on a free port unless they name one.

    Another `command` may stand in for it: one that runs the same service with a fault.
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
        """None while it runs; negative: the signal that ended it."""
        return self._child.returncode

    @property
    def frozen(self) -> bool:
        """Whether a SIGSTOP holds it."""
        return self._child.running and psutil.Process(self.pid).status() == psutil.STATUS_STOPPED

    async def ready(self, seconds: float = 60) -> None:
        """Wait until it answers /readyz with 200. Raises when it ends instead, with its last log lines."""

        async def settled() -> bool:
            return not self._child.running or await asyncio.to_thread(http_status, self.port, "/readyz") == 200

        try:
            await eventually(settled, seconds=seconds, what=f"{self.service} is ready")
        except TimeoutError as error:
            raise TimeoutError(f"{error}; its log ends:\n{self._child.tail()}") from error
        if not self._child.running:
            raise RuntimeError(f"{self.service} ended with {self.returncode}; its log ends:\n{self._child.tail()}")

    async def metric(self, sample: str) -> float:
        """A sample of its /metrics, named with its labels; 0 when it was never counted."""
        async with httpx2.AsyncClient(timeout=10, trust_env=False) as http:
            lines = (await http.get(f"{self.url}/metrics")).text.splitlines()
        return next((float(line.split()[-1]) for line in lines if line.startswith(f"{sample} ")), 0.0)

    async def wait(self, seconds: float = 60) -> int:
        """Its return code, once it ended by itself."""
        return await self._child.wait(seconds)

    async def stop(self, seconds: float = 60) -> int:
        """SIGTERM it, wait for its drain, and give its return code."""
        return await self._child.stop(seconds)

    def terminate(self) -> None:
        """SIGTERM it without waiting."""
        self._child.send(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL it, running, frozen or gone, and reap it."""
        self._child.kill()

    def freeze(self) -> None:
        """SIGSTOP it: it neither runs nor knows that time passes."""
        self._child.send(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT it."""
        self._child.send(signal.SIGCONT)

    async def restart(self) -> None:
        """Start it anew with the same settings and port, after it was stopped or killed, and wait until ready."""
        self._child = self._start()
        await self.ready()

    def output(self) -> str:
        """All that it logged, over every start."""
        return self.log.read_text(errors="replace")


def render_process(worker: ServiceProcess) -> psutil.Process:
    """The render process of a GPU consumer."""
    children = psutil.Process(worker.pid).children()
    (found,) = [child for child in children if "gpu_consumer.render" in child.cmdline()]
    return found
