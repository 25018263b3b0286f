"""The parts of operations and how they depend on each other."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import cache

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
from darkroom_contracts.topology import Lanes
from operations.alerts.alerts import Alerts
from operations.alerts.records import Terms
from operations.alerts.watch import Watch
from operations.bulk.following import Following
from operations.bulk.planning import Planning
from operations.bulk.pruning import PruneReplays
from operations.bulk.running import Running
from operations.connections import Connections
from operations.endpoints.audit import AuditEndpoints
from operations.endpoints.dead_letters import LetterEndpoints
from operations.endpoints.face import face
from operations.endpoints.groups import GroupEndpoints
from operations.endpoints.keys import KeyEndpoints
from operations.endpoints.queues import QueueEndpoints
from operations.endpoints.replays import ReplayEndpoints
from operations.groups.folding import FoldGroups
from operations.groups.groups import Groups
from operations.groups.notes import WriteNote
from operations.groups.pruning import PruneGroups, PruneHours
from operations.keys.canceling import CancelJobs
from operations.keys.gauges import KeyMetrics
from operations.letters.ingest import Ingest
from operations.queues.declared import DeclaredDepths
from operations.queues.management import ManagementDepths
from operations.queues.overview import Overview, broker_queues
from operations.queues.pausing import Pausing
from operations.queues.records import Depths
from operations.queues.sampling import QueueMetrics, Sampler
from operations.replays.edits import Bounds
from operations.retention.objects import SweepObjects
from operations.retention.pruning import (
    ExpirePictures,
    PruneAlerts,
    PruneAttempts,
    PruneDeliveries,
    PruneEndpoints,
    PruneKeys,
    PruneLetters,
)
from operations.retention.purge import PurgeJobs
from operations.settings import RetentionSettings, Settings
from operations.sweeps.loops import EndSessions, Expire, Republish, Rescue
from operations.workers.draining import Draining
from operations.workers.listing import Workers


@asynccontextmanager
async def open_app(settings: Settings) -> AsyncIterator[App]:
    """Open operations. On exit its connections are closed."""
    models = settings.catalogue.load().names
    lanes = Lanes.of(settings.broker.retry_delays)
    broker = Broker(settings.broker.amqp_url, "darkroom-operations")
    try:
        async with Connections(settings.database) as connections:
            database, desk = connections.loops, connections.desk
            # Readiness does not depend on RabbitMQ: the sweeps need Postgres alone, the ingest waits for the broker.
            health = Health({"database": desk.check})
            key_use = KeyUse(database)
            sampler = Sampler(database, _depths(settings, broker), broker_queues(models, lanes))
            overview = Overview(desk, sampler, models, lanes)
            endpoints = _endpoints(desk, overview, settings)
            http = build_app(Service.OPERATIONS, endpoints, Authenticator(desk, key_use.note), health)
            yield App(http, health, [key_use, *_loops(settings, database, broker, sampler)])
    finally:
        await broker.close()


def _depths(settings: Settings, broker: Broker) -> Depths:
    url = settings.management.amqp_management_url
    return ManagementDepths(url, settings.broker.amqp_url) if url else DeclaredDepths(broker)


def _endpoints(database: Database, overview: Overview, settings: Settings) -> dict[str, Endpoint]:
    workers = Workers(database, settings.lease_seconds)
    folder = FoldGroups(database, Alerts(settings.links.origin))
    return face(
        LetterEndpoints(database).by_name(),
        ReplayEndpoints(database, _bounds(settings)).by_name(),
        GroupEndpoints(Groups(database), WriteNote(database, folder)).by_name(),
        QueueEndpoints(overview, Pausing(database, overview), workers, Draining(database)).by_name(),
        KeyEndpoints(database).by_name(),
        AuditEndpoints(database).by_name(),
    )


def _loops(settings: Settings, database: Database, broker: Broker, sampler: Sampler) -> list[Loop]:
    return [
        Rescue(database, settings.lease_seconds),
        Expire(database),
        Republish(database, settings.lease_seconds),
        EndSessions(database, settings.lease_seconds),
        Watch(database, Alerts(settings.links.origin), _terms(settings)),
        FoldGroups(database, Alerts(settings.links.origin)),
        Ingest(database, broker),
        *_replays(settings, database),
        QueueMetrics(database, sampler),
        CancelJobs(database),
        KeyMetrics(database),
        SweepObjects(database, Storage(settings.storage)),
        *_retention(settings.retention, database),
    ]


def _replays(settings: Settings, database: Database) -> list[Loop]:
    bounds = _bounds(settings)
    return [Planning(database, bounds), Running(database, bounds), Following(database)]


def _bounds(settings: Settings) -> Bounds:
    return Bounds(cache(settings.catalogue.load), settings.targets.policy)


def _terms(settings: Settings) -> Terms:
    alerts = settings.alerts
    return Terms(settings.lease_seconds, alerts.alert_stalled_seconds, alerts.alert_stuck_seconds)


def _retention(settings: RetentionSettings, database: Database) -> list[Loop]:
    return [
        PruneKeys(database, timedelta(hours=settings.idempotency_hours)),
        PruneLetters(database, timedelta(days=settings.retain_letters_days)),
        PruneReplays(database, timedelta(days=settings.retain_letters_days)),
        PruneGroups(database),
        PruneHours(database),
        PruneDeliveries(database, timedelta(days=settings.retain_deliveries_days)),
        PruneEndpoints(database, timedelta(days=settings.retain_deliveries_days)),
        PruneAlerts(database, timedelta(days=settings.retain_attempts_days)),
        PruneAttempts(database, timedelta(days=settings.retain_attempts_days)),
        ExpirePictures(database, timedelta(days=settings.retain_pictures_days)),
        PurgeJobs(database, timedelta(days=settings.retain_jobs_days)),
    ]
