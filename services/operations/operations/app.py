"""The parts of operations and how they depend on each other."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from chassis.auth import Authenticator
from chassis.broker import Broker
from chassis.health import Health
from chassis.http import Endpoint, build_app
from chassis.key_use import KeyUse
from chassis.loops import Loop
from chassis.postgres import Database
from chassis.service import App
from chassis.storage import Storage
from darkroom_contracts.routes import Service
from operations.endpoints.audit import AuditEndpoints
from operations.endpoints.face import face
from operations.endpoints.keys import KeyEndpoints
from operations.keys.canceling import CancelJobs
from operations.letters.ingest import Ingest
from operations.queues.sampling import QueueMetrics
from operations.retention.objects import SweepObjects
from operations.retention.pruning import (
    ExpirePictures,
    PruneAttempts,
    PruneDeliveries,
    PruneEndpoints,
    PruneKeys,
    PruneLetters,
)
from operations.retention.purge import PurgeJobs
from operations.settings import RetentionSettings, Settings
from operations.sweeps.loops import EndSessions, Expire, Republish, Rescue


@asynccontextmanager
async def open_app(settings: Settings) -> AsyncIterator[App]:
    """Open operations. On exit its connections are closed."""
    broker = Broker(settings.broker.amqp_url, "darkroom-operations")
    try:
        async with Database(settings.database, "operations") as database:
            # Readiness does not depend on RabbitMQ: the sweeps need Postgres alone, the ingest waits for the broker.
            health = Health({"database": database.check})
            key_use = KeyUse(database)
            http = build_app(Service.OPERATIONS, _endpoints(database), Authenticator(database, key_use.note), health)
            yield App(http, health, [key_use, *_loops(settings, database, broker)])
    finally:
        await broker.close()


def _endpoints(database: Database) -> dict[str, Endpoint]:
    return face(KeyEndpoints(database).by_name(), AuditEndpoints(database).by_name())


def _loops(settings: Settings, database: Database, broker: Broker) -> list[Loop]:
    return [
        Rescue(database, settings.lease_seconds),
        Expire(database),
        Republish(database, settings.lease_seconds),
        EndSessions(database, settings.lease_seconds),
        Ingest(database, broker),
        QueueMetrics(database),
        CancelJobs(database),
        SweepObjects(database, Storage(settings.storage)),
        *_retention(settings.retention, database),
    ]


def _retention(settings: RetentionSettings, database: Database) -> list[Loop]:
    return [
        PruneKeys(database, timedelta(hours=settings.idempotency_hours)),
        PruneLetters(database, timedelta(days=settings.retain_letters_days)),
        PruneDeliveries(database, timedelta(days=settings.retain_deliveries_days)),
        PruneEndpoints(database, timedelta(days=settings.retain_deliveries_days)),
        PruneAttempts(database, timedelta(days=settings.retain_attempts_days)),
        ExpirePictures(database, timedelta(days=settings.retain_pictures_days)),
        PurgeJobs(database, timedelta(days=settings.retain_jobs_days)),
    ]
