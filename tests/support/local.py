"""The parts from local binaries, on free ports and in temporary folders."""

import secrets

from darkroom_local.parts import S3, Postgres, RabbitMQ
from darkroom_local.parts.rabbitmq import RabbitMQPorts
from tests.support.endpoints import Broker, Database, ObjectStore
from tests.support.migrations import migrate
from tests.support.ports import free_port, free_ports
from tests.support.servers import LocalServer, temporary_folder


def broker(*, in_memory: bool = True) -> Broker:
    """Return a RabbitMQ node. One that is killed belongs on the disk: in memory its queues took minutes to return."""
    folder = temporary_folder("rabbitmq", in_memory=in_memory)
    part = RabbitMQ(folder / "state", RabbitMQPorts(*free_ports(5)), secrets.token_hex(16), secrets.token_hex(16))
    return Broker(part.url, part.management_url, server=LocalServer(part, folder))


def database() -> Database:
    folder = temporary_folder("postgres")
    part = Postgres(folder / "state", free_port(), secrets.token_hex(16))
    return Database(part.url, migrate, server=LocalServer(part, folder))


def object_store() -> ObjectStore:
    folder = temporary_folder("s3")
    part = S3(folder / "state", free_port(), secrets.token_hex(10), secrets.token_hex(20))
    return ObjectStore(part.endpoint, part.access_key, part.secret_key, server=LocalServer(part, folder))
