"""Wiring: which part of the gateway stands on which."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.applications import Starlette

from chassis.amqp import Broker
from chassis.auth import Authenticator
from chassis.health import Health
from chassis.http import build_app
from chassis.loops import Loop
from darkroom_contracts.api import Service
from darkroom_contracts.models import Catalogue
from darkroom_contracts.topology import Lanes
from gateway.admission import Admission
from gateway.batch import Committer
from gateway.connections import Connections
from gateway.courier import Courier
from gateway.endpoints import Endpoints
from gateway.intake import Intake
from gateway.relay import Relay
from gateway.settings import Settings
from gateway.store import JobStore, OutboxStore
from gateway.topology import Declarer


@dataclass(frozen=True)
class Gateway:
    """The parts that serve; they live while `open_gateway` does."""

    app: Starlette
    health: Health
    loops: list[Loop]


@asynccontextmanager
async def open_gateway(settings: Settings, catalogue: Catalogue) -> AsyncIterator[Gateway]:
    """Build the gateway. Leaving answers every submission that was taken in, then closes the connections."""
    broker = Broker(settings.broker.amqp_url, "darkroom-gateway")
    connections = Connections(settings.database)
    store = JobStore(connections.rest)
    admission = Admission(store, catalogue.names, settings.max_queued_jobs, settings.max_queued_jobs_per_tenant)
    declarer = Declarer(broker, catalogue.names, Lanes.of(settings.broker.retry_delays))
    outbox = OutboxStore({model.name: model.revision for model in catalogue.models})
    relay = Relay(connections.relay, outbox, Courier(broker), declarer)
    # RabbitMQ is no part of readiness: while it is away intake goes on, and the outbox holds.
    health = Health({"database": connections.keys.check})
    try:
        async with connections, Committer(JobStore(connections.commits)) as committer:
            intake = Intake(catalogue, store, committer, admission, relay.wake)
            authenticator = Authenticator(connections.keys)
            app = build_app(Service.GATEWAY, Endpoints(intake).by_route(), authenticator, health)
            yield Gateway(app, health, [admission, declarer, relay])
    finally:
        await broker.close()
