"""Wires operations: its loops, and the endpoints of health and metrics."""

from datetime import timedelta

from chassis.amqp import Broker
from chassis.auth import Authenticator
from chassis.health import Health
from chassis.http import build_app
from chassis.loops import Loop
from chassis.postgres import Database
from chassis.service import Address, serve
from contracts.api import Service
from operations.ingest import Ingest
from operations.metrics import QueueMetrics
from operations.settings import Settings
from operations.sweeps import Expire, Prune, Republish, Rescue


async def run_operations(settings: Settings) -> None:
    """Run until SIGTERM; rounds under way are finished first."""
    broker = Broker(settings.broker.amqp_url, "darkroom-operations")
    async with Database(settings.database, "operations") as database:
        # RabbitMQ is no part of readiness: sweeps and metrics need Postgres alone, and the ingest waits for the broker.
        health = Health({"database": database.check})
        app = build_app(Service.OPERATIONS, {}, Authenticator(database), health)
        address = Address(settings.operations_host, settings.operations_port)
        try:
            await serve(app, address, health, _loops(settings, database, broker))
        finally:
            await broker.close()


def _loops(settings: Settings, database: Database, broker: Broker) -> list[Loop]:
    return [
        Rescue(database, settings.lease_seconds),
        Expire(database),
        Republish(database, settings.lease_seconds),
        Prune(database, timedelta(hours=settings.idempotency_hours)),
        Ingest(database, broker),
        QueueMetrics(database),
    ]
