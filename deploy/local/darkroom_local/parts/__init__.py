"""The parts of a stack: the servers that Darkroom needs, RabbitMQ, PostgreSQL, S3 and the edge.

`make up` runs their programs under supervisord, tests start the same programs directly.
"""

from typing import Protocol

from darkroom_local.parts.caddy import Caddy
from darkroom_local.parts.postgres import Postgres
from darkroom_local.parts.rabbitmq import RabbitMQ
from darkroom_local.parts.s3 import S3
from darkroom_local.program import Program

__all__ = ["S3", "Caddy", "Part", "Postgres", "RabbitMQ"]


class Part(Protocol):
    """A server that Darkroom needs."""

    def prepare(self) -> None:
        """Create the data folder and write the configuration. Safe to repeat while the part is stopped."""

    def programs(self) -> tuple[Program, ...]:
        """Return the programs in the order of their start. Each needs those before it to be ready."""
