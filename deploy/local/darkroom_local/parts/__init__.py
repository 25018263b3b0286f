"""The real parts a stack stands on. Each prepares its folder and names its programs.

`make up` hands the programs to supervisord, the tests start them by themselves: both run the same commands.
"""

from typing import Protocol

from darkroom_local.parts.caddy import Caddy
from darkroom_local.parts.postgres import Postgres
from darkroom_local.parts.rabbitmq import RabbitMQ
from darkroom_local.parts.s3 import S3
from darkroom_local.program import Program

__all__ = ["S3", "Caddy", "Part", "Postgres", "RabbitMQ"]


class Part(Protocol):
    """A server that Darkroom needs and others wrote."""

    def prepare(self) -> None:
        """Make the data folder and write the configuration. Safe to repeat; nothing may be running on the folder."""

    def programs(self) -> tuple[Program, ...]:
        """The part's programs in the order of their start; each one needs those before it to be ready."""
