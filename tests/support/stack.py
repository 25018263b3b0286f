"""A whole Darkroom of real processes, with short times so that a test can wait for them."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from darkroom_contracts.api import Scope
from darkroom_local.program import base_environment
from tests.support.endpoints import Bucket
from tests.support.http_client import Client
from tests.support.keys import make_key
from tests.support.ledger import Ledger
from tests.support.processes import SERVICES, ServiceProcess
from tests.support.queues import Queues
from tests.support.renderers import STAND_IN_WORKER, search_path
from tests.support.waiting import eventually

LEASE_SECONDS = 3
RETRY_DELAYS = (1, 2, 3)
WARM_SECONDS = 150
"""Time to warm up a worker. Importing torch takes 5 s of a core, which other processes may share."""
WORKER = "gpu_consumer"
CORE = tuple(package for package in SERVICES if package != WORKER)
"""Packages of the services that every stack runs. Tests start the workers that they need."""

DROPPED = 'darkroom_messages_total{verdict="obsolete"}'
"""Counts messages that are obsolete when a worker receives them."""
DISCARDED = 'darkroom_attempts_total{outcome="discarded"}'
"""Counts attempts whose write was refused."""

MODEL = "tiny"
"""The model of the workers that tests share."""
SPARE_MODELS = tuple(f"tiny-{number}" for number in range(32))
"""The same model under other names, for tests that need a queue of their own."""
IDLE_MODEL = "tiny-idle"
"""A model without workers, whose jobs stay queued."""

MODEL_ENTRY = """
[[models]]
name = "{name}"
path = "tiny"
schedulers = ["ddim", "euler"]
width = {{ minimum = 64, maximum = 128, default = 64 }}
height = {{ minimum = 64, maximum = 128, default = 64 }}
steps = {{ minimum = 1, maximum = 600, default = 4 }}
guidance_scale = {{ minimum = 0, maximum = 20, default = 7.5 }}
max_images = 4
max_cost = 20_000_000
"""


@dataclass(frozen=True)
class Places:
    """A stack's database, vhost, bucket, models and logs."""

    database_url: str
    amqp_url: str
    bucket: Bucket
    models_home: Path
    logs: Path

    def environment(self) -> dict[str, str]:
        """Return the settings that all services share."""
        return {
            "DARKROOM_DATABASE_URL": self.database_url,
            "DARKROOM_AMQP_URL": self.amqp_url,
            "DARKROOM_RETRY_DELAYS": ",".join(map(str, RETRY_DELAYS)),
            "DARKROOM_MODELS_FILE": str(self._catalogue()),
            "DARKROOM_MODELS_HOME": str(self.models_home),
            "DARKROOM_LEASE_SECONDS": str(LEASE_SECONDS),
            "DARKROOM_WEBHOOKS_MASTER_KEYS": f"tests:{'7e' * 32}",
            "DARKROOM_WEBHOOK_ALLOWED_HOSTS": "127.0.0.1",
            **self.bucket.environment(),
        }

    def _catalogue(self) -> Path:
        path = self.logs / "models.toml"
        path.write_text("".join(MODEL_ENTRY.format(name=name) for name in (MODEL, IDLE_MODEL, *SPARE_MODELS)))
        return path


class Stack:
    """Every service but the GPU consumer, and the workers that tests start."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.settings = places.environment()
        self.ledger = Ledger(places.database_url)
        self.queues = Queues(places.amqp_url)
        self._processes: list[ServiceProcess] = []
        self.core: dict[str, ServiceProcess] = {}
        """The running services of CORE by package."""
        self._spare_models = list(SPARE_MODELS)

    @property
    def gateway(self) -> ServiceProcess:
        return self.core["gateway"]

    @property
    def status(self) -> ServiceProcess:
        return self.core["status"]

    @property
    def operations(self) -> ServiceProcess:
        return self.core["operations"]

    async def start(self) -> None:
        """Start the services of CORE and wait until they are ready."""
        self.core = {service: self._start(service, service, {}) for service in CORE}
        await asyncio.gather(*(process.ready() for process in self.core.values()))

    async def worker(
        self, name: str, *, model: str = MODEL, settings: Mapping[str, str] | None = None
    ) -> ServiceProcess:
        """Start a worker for the model and wait until it is warm."""
        worker = self.launch_worker(name, model=model, settings=settings)
        await worker.ready(WARM_SECONDS)
        return worker

    def launch_worker(
        self,
        name: str,
        *,
        model: str = MODEL,
        settings: Mapping[str, str] | None = None,
        fault: tuple[str, str] | None = None,
        renders: bool = False,
    ) -> ServiceProcess:
        """Start a worker without waiting. `fault` is an act and a point of tests.support.faults.

        Its pictures come from the stand-in for the render process, unless it really `renders`.
        """
        own = {"DARKROOM_MODEL": model, "DARKROOM_DEVICE": "cpu", "DARKROOM_WORKER_NAME": name}
        command = _striking(WORKER, fault) if fault else None if renders else STAND_IN_WORKER
        return self._start(WORKER, name, {**own, **(settings or {})}, command)

    def launch_gateway(self, name: str, fault: tuple[str, str]) -> ServiceProcess:
        """Start another gateway with a fault, without waiting."""
        return self._start("gateway", name, {}, _striking("gateway", fault))

    def _start(
        self, service: str, name: str, settings: Mapping[str, str], command: Sequence[str] | None = None
    ) -> ServiceProcess:
        """Start a service, by a command of the tests where one is given."""
        everything = {**self.settings, **settings, **({"PYTHONPATH": search_path()} if command else {})}
        process = ServiceProcess(service, everything, self.places.logs / f"{name}.log", command=command)
        self._processes.append(process)
        return process

    def spare_model(self) -> str:
        """Return a model whose queue no other test uses."""
        return self._spare_models.pop()

    async def key(self, tenant: str = "default", scope: Scope = Scope.CLIENT) -> str:
        """Create a key of the tenant, and the tenant if it is missing."""
        return await make_key(self.places.database_url, tenant, scope=scope)

    async def client(self, tenant: str = "default", *, gateway: ServiceProcess | None = None) -> Client:
        """Return a client with a new key of the tenant, which submits to `gateway` or to the stack's own."""
        urls = (gateway or self.gateway).url, self.status.url, self.places.bucket.endpoint
        return Client(await self.key(tenant), *urls)

    async def rendered_by(self, worker: str, client: Client, *, model: str = MODEL, seconds: float = 60) -> None:
        """Submit small jobs until that worker has rendered one, and so is alive and idle."""

        async def once() -> bool:
            job_id = await client.submit(model)
            await client.succeeded(job_id)
            return (await self.ledger.attempts(job_id))[-1].worker == worker

        await eventually(once, seconds=seconds, what=f"{worker} rendered a job")

    def pictures(self, job_id: str) -> list[str]:
        """Return the keys of all objects of a job."""
        return [key for key in self.places.bucket.object_keys() if key.startswith(f"jobs/{job_id}/")]

    async def command(self, *arguments: str) -> bytes:
        """Run `darkroom` as an operator of this stack and return its output. Fails when the command does.

        Its requests go to operations, with a new key: a database that was restored does not have an old one.
        """
        program = str(Path(sys.executable).parent / "darkroom")
        desk = {
            "DARKROOM_URL": self.operations.url,
            "DARKROOM_OPERATOR_KEY": await self.key("operators", Scope.OPERATOR),
        }
        process = await asyncio.create_subprocess_exec(
            program, *arguments, env={**base_environment(), **self.settings, **desk}, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
        assert process.returncode == 0, f"darkroom {arguments}: {output!r}"
        return output

    def kill(self) -> None:
        """Kill every process, frozen ones included."""
        for process in self._processes:
            process.kill()


def _striking(service: str, fault: tuple[str, str]) -> Sequence[str]:
    return sys.executable, "-m", "tests.support.faults", service, *fault
