"""The parts of webhooks and how they depend on each other."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chassis.health import Health
from chassis.http import build_health_app
from chassis.postgres import Database
from chassis.service import App
from webhooks.dispatch.allotment import Limits
from webhooks.dispatch.completing import Completer
from webhooks.dispatch.dispatcher import Dispatcher
from webhooks.dispatch.flights import Flights
from webhooks.dispatch.reaping import Reaper
from webhooks.dispatch.sampling import DeliveryMetrics
from webhooks.dispatch.waking import Listener
from webhooks.secrets import MasterKeys
from webhooks.sending.sender import Sender
from webhooks.settings import DispatchSettings, Settings


@asynccontextmanager
async def open_app(settings: Settings) -> AsyncIterator[App]:
    """Open webhooks. On exit its connections are closed."""
    keys = MasterKeys(settings.webhooks_master_keys)
    policy = settings.targets.policy
    async with Database(settings.database, "webhooks") as database, Sender(policy) as sender:
        flights = Flights(sender, policy, keys, Completer(database))
        dispatcher = Dispatcher(
            database,
            flights,
            _limits(settings.dispatch),
            public_origin=settings.links.origin,
            master_key=keys.primary,
        )
        listener = Listener(settings.database, dispatcher.notice)
        health = Health({"database": database.check})
        loops = [dispatcher, listener, Reaper(database, dispatcher.wake), DeliveryMetrics(database)]
        try:
            yield App(build_health_app(health), health, loops)
        finally:
            listener.close()


def _limits(settings: DispatchSettings) -> Limits:
    return Limits(
        settings.webhooks_in_flight, settings.webhooks_in_flight_per_tenant, settings.webhooks_in_flight_per_origin
    )
