"""Finds the services that the tests run against.

The environment's URLs come first, then a Docker engine if one answers, then the local binaries. Each part is found
by itself, so that a URL for one is enough to replace that one.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType

from darkroom_local.errors import MissingPartError
from darkroom_local.parts import rabbitmq
from tests.support import containers, local
from tests.support.endpoints import Broker, Database, ObjectStore
from tests.support.migrations import migrate

NOTHING_FOUND = (
    "No RabbitMQ to test with: run `apt-get install rabbitmq-server`, start a Docker engine, or set"
    " DARKROOM_TEST_AMQP_URL and DARKROOM_TEST_AMQP_MANAGEMENT_URL."
)


@dataclass(frozen=True)
class Services:
    """The parts that all tests of a run share."""

    broker: Broker
    database: Database
    object_store: ObjectStore


def discover(environment: Mapping[str, str] = os.environ) -> Services:
    """Find every part; what was not given by URL is not started yet."""
    return Services(
        broker=_broker_from(environment) or source().broker(),
        database=_database_from(environment) or source().database(),
        object_store=_object_store_from(environment) or source().object_store(),
    )


def source() -> ModuleType:
    """Where new servers come from: containers or the local binaries. Raises MissingPartError where there is neither."""
    if containers.engine_answers():
        return containers
    if not rabbitmq.is_installed():
        raise MissingPartError(NOTHING_FOUND)
    return local


def _broker_from(environment: Mapping[str, str]) -> Broker | None:
    if url := environment.get("DARKROOM_TEST_AMQP_URL"):
        return Broker(url, environment["DARKROOM_TEST_AMQP_MANAGEMENT_URL"])
    return None


def _database_from(environment: Mapping[str, str]) -> Database | None:
    if url := environment.get("DARKROOM_TEST_DATABASE_URL"):
        return Database(url, migrate)
    return None


def _object_store_from(environment: Mapping[str, str]) -> ObjectStore | None:
    if endpoint := environment.get("DARKROOM_TEST_S3_ENDPOINT"):
        keys = environment["DARKROOM_TEST_S3_ACCESS_KEY"], environment["DARKROOM_TEST_S3_SECRET_KEY"]
        return ObjectStore(endpoint, *keys)
    return None
