"""Wiring: which part of the status service stands on which."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from starlette.applications import Starlette

from chassis.amqp import Broker
from chassis.auth import Authenticator
from chassis.health import Health
from chassis.http import build_app
from chassis.loops import Loop
from chassis.postgres import Database
from darkroom_contracts.api import Service
from darkroom_contracts.models import Catalogue
from status.endpoints import endpoints
from status.jobs import Jobs
from status.live import LiveProgress, ProgressListener
from status.models import list_models
from status.outlook import Queues
from status.reads import JobReads
from status.settings import Settings
from status.signing import SignedUrls
from status.store import Store


class Status:
    """The parts that serve; they live while `open_status` does."""

    def __init__(self, app: Starlette, health: Health, loops: list[Loop]) -> None:
        self.app = app
        self.health = health
        self.loops = loops


@asynccontextmanager
async def open_status(settings: Settings, catalogue: Catalogue) -> AsyncIterator[Status]:
    """Build the service. Leaving closes its connections."""
    broker = Broker(settings.broker.amqp_url, "darkroom-status")
    live = LiveProgress()
    lifetime = timedelta(seconds=settings.url_lifetime_seconds)
    urls = SignedUrls(settings.storage, settings.s3_public_endpoint, lifetime)
    try:
        async with Database(settings.database, "status") as database:
            store = Store(database)
            jobs = Jobs(JobReads(store), store, Queues(store), live, urls)
            # RabbitMQ is no part of readiness: without it the rows tell the progress.
            health = Health({"database": database.check})
            app = build_app(Service.STATUS, endpoints(jobs, list_models(catalogue)), Authenticator(database), health)
            yield Status(app, health, [ProgressListener(broker, live)])
    finally:
        await broker.close()
