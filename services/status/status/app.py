"""The status service's parts and how they depend on each other."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from chassis.auth import Authenticator
from chassis.broker import Broker
from chassis.health import Health
from chassis.http import build_app
from chassis.key_use import KeyUse
from chassis.postgres import Database
from chassis.service import App
from darkroom_contracts.routes import Service
from status.endpoints import Endpoints
from status.jobs import Jobs
from status.live import LiveProgress, ProgressListener
from status.models import list_models
from status.outlook import Queues
from status.reads import JobReads
from status.settings import Settings
from status.signing import SignedUrls
from status.store import Store


@asynccontextmanager
async def open_app(settings: Settings) -> AsyncIterator[App]:
    """Open the status service. On exit its connections are closed."""
    catalogue = settings.catalogue.load()
    broker = Broker(settings.broker.amqp_url, "darkroom-status")
    live = LiveProgress()
    urls = SignedUrls(settings.storage, timedelta(seconds=settings.url_lifetime_seconds))
    try:
        async with Database(settings.database, "status") as database:
            store = Store(database)
            jobs = Jobs(JobReads(store), store, Queues(store), live, urls, settings.links.origin)
            # Readiness does not depend on RabbitMQ: without it progress comes from the rows.
            health = Health({"database": database.check})
            endpoints = Endpoints(jobs, list_models(catalogue)).by_name()
            key_use = KeyUse(database)
            http = build_app(Service.STATUS, endpoints, Authenticator(database, key_use.note), health)
            yield App(http, health, [ProgressListener(broker, live), key_use])
    finally:
        await broker.close()
