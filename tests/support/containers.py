"""The parts as containers, where a Docker engine answers."""

import asyncio
import os
import secrets
from collections.abc import Callable, Mapping
from functools import cache

import asyncpg
import docker  # type: ignore[import-untyped]
from docker.errors import DockerException  # type: ignore[import-untyped]
from testcontainers.core.container import DockerContainer

from darkroom_local.ports import LOOPBACK
from darkroom_local.probes import http_status
from tests.support.endpoints import Broker, Database, ObjectStore
from tests.support.migrations import migrate
from tests.support.ports import free_ports
from tests.support.servers import DockerServer

IMAGES = {
    "DARKROOM_TEST_RABBITMQ_IMAGE": "rabbitmq:4.3-management",
    "DARKROOM_TEST_POSTGRES_IMAGE": "postgres:18",
    "DARKROOM_TEST_S3_IMAGE": "quay.io/minio/minio:RELEASE.2025-09-07T16-13-09Z",
}
"""Variable of the environment -> the image where it is not set. Any S3 image needs MinIO's settings and paths."""
RABBITMQ_IMAGE, POSTGRES_IMAGE, S3_IMAGE = (os.environ.get(name, image) for name, image in IMAGES.items())
USER = "darkroom"


@cache
def engine_answers() -> bool:
    """Return whether a Docker engine answers. An installed command line client does not prove that."""
    try:
        client = docker.from_env(timeout=3)
        client.ping()
    except DockerException:
        return False
    client.close()
    return True


def broker(*, in_memory: bool = True) -> Broker:
    password = secrets.token_hex(16)
    amqp, management = free_ports(2)
    check = "/api/health/checks/port-listener/5672"
    server = _server(
        RABBITMQ_IMAGE,
        {5672: amqp, 15672: management},
        {"RABBITMQ_DEFAULT_USER": USER, "RABBITMQ_DEFAULT_PASS": password},
        lambda: http_status(management, check, (USER, password)) == 200,
    )
    credentials = f"{USER}:{password}@{LOOPBACK}"
    return Broker(f"amqp://{credentials}:{amqp}/", f"http://{credentials}:{management}", server=server)


def database() -> Database:
    password = secrets.token_hex(16)
    (port,) = free_ports(1)
    environment = {"POSTGRES_USER": USER, "POSTGRES_PASSWORD": password}
    url = f"postgresql://{USER}:{password}@{LOOPBACK}:{port}/{USER}"
    server = _server(POSTGRES_IMAGE, {5432: port}, environment, lambda: _accepts_queries(url))
    return Database(url, migrate, server=server)


def object_store() -> ObjectStore:
    access_key, secret_key = secrets.token_hex(10), secrets.token_hex(20)
    (port,) = free_ports(1)
    server = _server(
        S3_IMAGE,
        {9000: port},
        {"MINIO_ROOT_USER": access_key, "MINIO_ROOT_PASSWORD": secret_key},
        lambda: http_status(port, "/minio/health/ready") == 200,
        command="server /data",
    )
    return ObjectStore(f"http://{LOOPBACK}:{port}", access_key, secret_key, server=server)


def _server(
    image: str,
    ports: Mapping[int, int],
    environment: Mapping[str, str],
    ready: Callable[[], bool],
    command: str | None = None,
) -> DockerServer:
    container = DockerContainer(image, command=command, env=dict(environment))
    # Set directly: with_bind_ports knows no host address and would publish to the whole network.
    container.ports.update({str(inside): (LOOPBACK, outside) for inside, outside in ports.items()})  # type: ignore[misc]
    return DockerServer(container, ready)


def _accepts_queries(url: str) -> bool:
    """Wait until TCP works: the image first starts a server for its own set-up, without TCP."""

    async def ask() -> None:
        connection = await asyncpg.connect(url, timeout=2)
        await connection.close()

    try:
        asyncio.run(ask())
    except (OSError, TimeoutError, asyncpg.PostgresError):
        return False
    return True
