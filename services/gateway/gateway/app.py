"""The gateway's parts and how they depend on each other."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chassis.auth import Authenticator
from chassis.broker import Broker
from chassis.health import Health
from chassis.http import build_app
from chassis.key_use import KeyUse
from chassis.service import App
from darkroom_contracts.routes import Service
from darkroom_contracts.topology import Lanes
from gateway.admission import Admission
from gateway.batch import Committer
from gateway.cancel import CancelJob
from gateway.connections import Connections
from gateway.declarer import Declarer
from gateway.delete import DeleteJob
from gateway.endpoints import Endpoints
from gateway.publishers import Publishers
from gateway.recording import Recorder
from gateway.relay import Relay
from gateway.retry import RetryJob
from gateway.settings import Settings
from gateway.store import JobStore, OutboxStore
from gateway.submit import SubmitJob


@asynccontextmanager
async def open_app(settings: Settings) -> AsyncIterator[App]:
    """Open the gateway. On exit every submission in progress is answered, then the connections are closed."""
    catalogue = settings.catalogue.load()
    webhook_targets = settings.webhook_targets.policy
    broker = Broker(settings.broker.amqp_url, "darkroom-gateway")
    connections = Connections(settings.database)
    store = JobStore(connections.rest)
    admission = Admission(store, catalogue.names, settings.max_queued_jobs, settings.max_queued_jobs_per_tenant)
    declarer = Declarer(broker, catalogue.names, Lanes.of(settings.broker.retry_delays))
    outbox = OutboxStore({model.name: model.revision for model in catalogue.models})
    relay = Relay(connections.relay, outbox, Publishers(broker), declarer)
    # Readiness does not depend on RabbitMQ: while it is away, intake goes on and messages wait in the outbox.
    health = Health({"database": connections.keys.check})
    try:
        async with connections, Committer(JobStore(connections.commits)) as committer:
            recorder = Recorder(store, committer, admission, relay.wake)
            endpoints = Endpoints(
                SubmitJob(catalogue, recorder, webhook_targets),
                RetryJob(catalogue, store, recorder, webhook_targets),
                CancelJob(store),
                DeleteJob(store),
            )
            key_use = KeyUse(connections.rest)
            http = build_app(
                Service.GATEWAY, endpoints.by_name(), Authenticator(connections.keys, key_use.note), health
            )
            yield App(http, health, [admission, declarer, relay, key_use])
    finally:
        await broker.close()
