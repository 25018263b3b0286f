"""The programs of a stack, their order and their settings, derived from its state."""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from darkroom_local.environment import BUCKET, service_settings
from darkroom_local.home import REPOSITORY, Home
from darkroom_local.parts import S3, Caddy, Part, Postgres, RabbitMQ
from darkroom_local.parts.rabbitmq import RabbitMQPorts
from darkroom_local.ports import LOOPBACK
from darkroom_local.probes import http_status
from darkroom_local.program import Program
from darkroom_local.services import Service
from darkroom_local.state import State
from darkroom_local.supervisor import Supervisor

CADDYFILE = REPOSITORY / "deploy" / "caddy" / "Caddyfile"


@dataclass(frozen=True)
class Blueprint:
    """The parts, services and programs of a stack."""

    home: Home
    services: tuple[Service, ...]
    rabbitmq: RabbitMQ
    postgres: Postgres
    s3: S3
    edge: Caddy
    settings: dict[str, str]
    supervisor: Supervisor

    @classmethod
    def draw(cls, home: Home, state: State, services: Iterable[Service]) -> "Blueprint":
        """Return the stack that the state describes, with those services that have a port in it.

        A service without a port was added to services.toml after the stack was started.
        """
        ports, secrets = state.ports, state.secrets
        started = tuple(service for service in services if service.port_name in ports)
        rabbitmq_ports = RabbitMQPorts(
            ports["amqp"], ports["management"], ports["prometheus"], ports["distribution"], ports["epmd"]
        )
        rabbitmq = RabbitMQ(home.data / "rabbitmq", rabbitmq_ports, secrets["amqp"], secrets["erlang_cookie"])
        postgres = Postgres(home.data / "postgres", ports["postgres"], secrets["postgres"])
        s3 = S3(home.data / "s3", ports["s3"], secrets["s3_access_key"], secrets["s3_secret_key"])
        edge = Caddy(home.data / "edge", ports["edge"], CADDYFILE, _upstreams(ports, started), BUCKET)
        service_ports = {service.port_setting: ports[service.port_name] for service in started}
        settings = service_settings(home, service_ports, rabbitmq, postgres, s3, edge)
        settings["DARKROOM_WEBHOOKS_MASTER_KEYS"] = f"local:{secrets['webhooks_master_key']}"
        supervisor = Supervisor(home, ports["supervisor"], secrets["supervisor"])
        return cls(home, started, rabbitmq, postgres, s3, edge, settings, supervisor)

    @property
    def parts(self) -> tuple[Part, ...]:
        """The servers that are not Darkroom's own."""
        return (self.rabbitmq, self.postgres, self.s3, self.edge)

    @property
    def tiers(self) -> tuple[tuple[Program, ...], ...]:
        """Programs that start together. A tier starts when all programs before it are ready."""
        epmd, rabbitmq = self.rabbitmq.programs()
        foundations = (epmd, *self.postgres.programs(), *self.s3.programs())
        return foundations, (rabbitmq,), (*self._services(), *self.edge.programs())

    @property
    def programs(self) -> tuple[Program, ...]:
        """All programs in the order of their start."""
        return tuple(program for tier in self.tiers for program in tier)

    def _services(self) -> tuple[Program, ...]:
        return tuple(map(self._service, self.services))

    def _service(self, service: Service) -> Program:
        port = int(self.settings[service.port_setting])
        return Program(
            name=service.name,
            command=(sys.executable, "-m", service.package),
            directory=self.home.path,
            environment=self.settings,
            ready=lambda: http_status(port, service.ready_path) == 200,
            start_seconds=service.ready_seconds,
            stop_seconds=service.stop_seconds,
            permanent_exit_codes=service.permanent_exit_codes,
        )


def _upstreams(ports: Mapping[str, int], services: Iterable[Service]) -> dict[str, str]:
    """Return the host:port of each service behind the edge, and of S3, by name."""
    behind_edge = {service.name: ports[service.port_name] for service in services if service.edge}
    return {name: f"{LOOPBACK}:{port}" for name, port in {**behind_edge, "s3": ports["s3"]}.items()}
