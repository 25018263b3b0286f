"""The parts of webhooks and how they depend on each other."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chassis.auth import Authenticator
from chassis.health import Health
from chassis.http import build_app
from chassis.key_use import KeyUse
from chassis.postgres import Database
from chassis.service import App
from chassis.targets import Policy
from darkroom_contracts.routes import Service
from webhooks.connections import Connections
from webhooks.dispatch.allotment import Limits
from webhooks.dispatch.claiming import Terms
from webhooks.dispatch.completing import Completer
from webhooks.dispatch.dispatcher import Dispatcher
from webhooks.dispatch.flights import Flights
from webhooks.dispatch.giving_up import GivingUp
from webhooks.dispatch.reaping import Reaper
from webhooks.dispatch.rounds import Rounds
from webhooks.dispatch.sampling import DeliveryMetrics
from webhooks.dispatch.survey import Survey
from webhooks.dispatch.survey_gauges import SurveyGauges
from webhooks.dispatch.waking import Listener
from webhooks.dispatch.walking import Walker
from webhooks.endpoints import Endpoints
from webhooks.history.deliveries import Deliveries
from webhooks.history.recovery import Recovery
from webhooks.history.redelivery import Redelivery
from webhooks.registry.allowances import Act, Allowances
from webhooks.registry.key_guard import KeyGuard
from webhooks.registry.key_use import MasterKeyUse
from webhooks.registry.reencrypting import Reencrypting
from webhooks.registry.registry import Registry
from webhooks.registry.statistics import Statistics
from webhooks.secrets import MasterKeys
from webhooks.sending.sender import Sender
from webhooks.settings import DispatchSettings, RateSettings, Settings


@asynccontextmanager
async def open_app(settings: Settings) -> AsyncIterator[App]:
    """Open webhooks. On exit its connections are closed."""
    keys = MasterKeys(settings.webhooks_master_keys)
    policy = settings.targets.policy
    async with Connections(settings.database) as connections, Sender(policy, proxy=settings.egress.proxy) as sender:
        guard = KeyGuard(connections.http, keys)
        await guard.check()
        database = connections.dispatch
        flights = Flights(sender, policy, keys, Completer(database))
        terms = Terms(settings.links.origin, keys, settings.dispatch.lease)
        rounds = Rounds(database, flights, _limits(settings.dispatch), terms)
        survey, gauges = Survey(keys.ids), SurveyGauges(flights)
        dispatcher = Dispatcher(database, flights, rounds, survey, gauges)
        listener = Listener(settings.database, dispatcher.notice)
        loops = [
            dispatcher,
            Walker(flights, rounds, survey, gauges),
            listener,
            Reaper(database, dispatcher.wake, terms.lease),
            GivingUp(database, flights, keys.ids),
            DeliveryMetrics(database),
        ]
        key_use = MasterKeyUse(connections.http, keys)
        health = Health({"database": connections.http.check, "master_keys": key_use.check})
        endpoints = _endpoints(connections.http, keys, policy, settings.rates)
        uses = KeyUse(connections.http)
        http = build_app(Service.WEBHOOKS, endpoints.by_name(), Authenticator(connections.http, uses.note), health)
        try:
            yield App(http, health, [*loops, guard, key_use, uses, Reencrypting(connections.http, keys)])
        finally:
            listener.close()


def _endpoints(database: Database, keys: MasterKeys, policy: Policy, rates: RateSettings) -> Endpoints:
    allowances = Allowances(
        {
            Act.CREATE: rates.webhooks_creations_per_hour,
            Act.RECOVER: rates.webhooks_recoveries_per_hour,
            Act.REDELIVER: rates.webhooks_redeliveries_per_hour,
            Act.TEST: rates.webhooks_tests_per_hour,
        }
    )
    return Endpoints(
        Registry(database, keys, policy, allowances),
        Statistics(database),
        Deliveries(database),
        Redelivery(database, allowances),
        Recovery(database, allowances),
    )


def _limits(settings: DispatchSettings) -> Limits:
    return Limits(
        settings.webhooks_in_flight, settings.webhooks_in_flight_per_tenant, settings.webhooks_in_flight_per_origin
    )
