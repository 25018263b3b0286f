"""All programs of a stack, from its state: what runs, in which order, with which settings."""

import sys
from dataclasses import dataclass

from darkroom_local.environment import BUCKET, service_settings
from darkroom_local.home import REPOSITORY, Home
from darkroom_local.parts import S3, Caddy, Part, Postgres, RabbitMQ
from darkroom_local.parts.rabbitmq import RabbitMQPorts
from darkroom_local.ports import LOOPBACK
from darkroom_local.probes import http_status
from darkroom_local.program import Program
from darkroom_local.state import State
from darkroom_local.supervisor import Supervisor

CADDYFILE = REPOSITORY / "deploy" / "caddy" / "Caddyfile"
# A worker finishes its running job before it stops: DARKROOM_DRAIN_SECONDS, 300 by default, and a little more.
WORKER_STOP_SECONDS = 330
WORKER_START_SECONDS = 330


@dataclass(frozen=True)
class Blueprint:
    """What a stack consists of."""

    home: Home
    rabbitmq: RabbitMQ
    postgres: Postgres
    s3: S3
    edge: Caddy
    settings: dict[str, str]
    supervisor: Supervisor

    @classmethod
    def draw(cls, home: Home, state: State) -> "Blueprint":
        ports, secrets = state.ports, state.secrets
        rabbitmq_ports = RabbitMQPorts(
            ports["amqp"], ports["management"], ports["prometheus"], ports["distribution"], ports["epmd"]
        )
        rabbitmq = RabbitMQ(home.data / "rabbitmq", rabbitmq_ports, secrets["amqp"], secrets["erlang_cookie"])
        postgres = Postgres(home.data / "postgres", ports["postgres"], secrets["postgres"])
        s3 = S3(home.data / "s3", ports["s3"], secrets["s3_access_key"], secrets["s3_secret_key"])
        upstreams = {name: f"{LOOPBACK}:{ports[name]}" for name in ("gateway", "status", "operations", "s3")}
        edge = Caddy(home.data / "edge", ports["edge"], CADDYFILE, upstreams, BUCKET)
        settings = service_settings(home, state, rabbitmq, postgres, s3, edge)
        supervisor = Supervisor(home, ports["supervisor"], secrets["supervisor"])
        return cls(home, rabbitmq, postgres, s3, edge, settings, supervisor)

    @property
    def parts(self) -> tuple[Part, ...]:
        return (self.rabbitmq, self.postgres, self.s3, self.edge)

    @property
    def tiers(self) -> tuple[tuple[Program, ...], ...]:
        """Programs that start together; each tier needs those before it to be ready."""
        epmd, rabbitmq = self.rabbitmq.programs()
        foundations = (epmd, *self.postgres.programs(), *self.s3.programs())
        return foundations, (rabbitmq,), (*self._services(), *self.edge.programs())

    @property
    def programs(self) -> tuple[Program, ...]:
        """All of them, in the order of their start."""
        return tuple(program for tier in self.tiers for program in tier)

    def _services(self) -> tuple[Program, ...]:
        return (
            self._service("gateway", "gateway", "DARKROOM_GATEWAY_PORT"),
            self._service("status", "status", "DARKROOM_STATUS_PORT"),
            self._service("operations", "operations", "DARKROOM_OPERATIONS_PORT"),
            self._service(
                "gpu-consumer", "gpu_consumer", "DARKROOM_CONSUMER_PORT", WORKER_START_SECONDS, WORKER_STOP_SECONDS
            ),
        )

    def _service(
        self, name: str, package: str, port_setting: str, start_seconds: int = 60, stop_seconds: int = 30
    ) -> Program:
        port = int(self.settings[port_setting])
        return Program(
            name=name,
            command=(sys.executable, "-m", package),
            directory=self.home.path,
            environment=self.settings,
            ready=lambda: http_status(port, "/readyz") == 200,
            start_seconds=start_seconds,
            stop_seconds=stop_seconds,
        )
