"""Wires operations: its loops, and the endpoints of health and metrics."""

from datetime import timedelta

from chassis.amqp import Broker
from chassis.auth import Authenticator
from chassis.health import Health
from chassis.http import build_app
from chassis.loops import Loop
from chassis.postgres import Database
from chassis.service import App, serve
from chassis.settings import Address
from chassis.storage import Storage
from darkroom_contracts.routes import Service
from operations.ingest import Ingest
from operations.metrics import QueueMetrics
from operations.retention.loops import (
    ExpirePictures,
    PruneAttempts,
    PruneDeliveries,
    PruneKeys,
    PruneLetters,
    PurgeJobs,
)
from operations.retention.objects import SweepObjects
from operations.settings import RetentionSettings, Settings
from operations.sweeps import EndSessions, Expire, Republish, Rescue


async def run_operations(settings: Settings) -> None:
    """Run until SIGTERM; rounds under way are finished first."""
    broker = Broker(settings.broker.amqp_url, "darkroom-operations")
    async with Database(settings.database, "operations") as database:
        # RabbitMQ is no part of readiness: sweeps and metrics need Postgres alone, and the ingest waits for the broker.
        health = Health({"database": database.check})
        app = build_app(Service.OPERATIONS, {}, Authenticator(database), health)
        address = Address(settings.operations_host, settings.operations_port)
        try:
            await serve(App(app, health, _loops(settings, database, broker)), address)
        finally:
            await broker.close()


def _loops(settings: Settings, database: Database, broker: Broker) -> list[Loop]:
    return [
        Rescue(database, settings.lease_seconds),
        Expire(database),
        Republish(database, settings.lease_seconds),
        EndSessions(database, settings.lease_seconds),
        Ingest(database, broker),
        QueueMetrics(database),
        SweepObjects(database, Storage(settings.storage)),
        *_retention(settings.retention, database),
    ]


def _retention(settings: RetentionSettings, database: Database) -> list[Loop]:
    return [
        PruneKeys(database, timedelta(hours=settings.idempotency_hours)),
        PruneLetters(database, timedelta(days=settings.retain_letters_days)),
        PruneDeliveries(database, timedelta(days=settings.retain_deliveries_days)),
        PruneAttempts(database, timedelta(days=settings.retain_attempts_days)),
        ExpirePictures(database, timedelta(days=settings.retain_pictures_days)),
        PurgeJobs(database, timedelta(days=settings.retain_jobs_days)),
    ]
