"""The parts of a dispatcher, whose rounds a test drives."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from chassis.postgres import Database
from chassis.settings import DatabaseSettings
from chassis.targets import Policy
from tests.integration.webhooks.jobs import Shop
from tests.support.receiver import Receiver, always
from webhooks.dispatch.allotment import Limits
from webhooks.dispatch.claiming import Terms
from webhooks.dispatch.completing import Completer
from webhooks.dispatch.dispatcher import Dispatcher
from webhooks.dispatch.failing import FailingEndpoints
from webhooks.dispatch.flights import FAILURES_IN_A_ROW, Flights
from webhooks.dispatch.reaping import Reaper
from webhooks.dispatch.rounds import Rounds
from webhooks.dispatch.survey import Survey
from webhooks.dispatch.survey_gauges import SurveyGauges
from webhooks.dispatch.walking import Walker
from webhooks.egress import Proxy
from webhooks.secrets import MasterKeys
from webhooks.sending.sender import Sender

MASTER_KEY = f"first:{'5e' * 32}"
KEYS = MasterKeys([MASTER_KEY])
LEASE = timedelta(seconds=60)
LIMITS = Limits(total=64, per_tenant=32, per_origin=16)


@dataclass(frozen=True)
class Dispatch:
    """A dispatcher, its walker, its flights, its reaper and its pool."""

    dispatcher: Dispatcher
    walker: Walker
    flights: Flights
    reaper: Reaper
    database: Database

    async def round(self) -> None:
        """Claim and complete deliveries until none is due that has room."""
        more = True
        while more:
            more = await self.dispatcher.run_once()
            await self.walker.run_once()
            await self.flights.drain()


@asynccontextmanager
async def open_dispatch(
    url: str,
    *,
    limits: Limits = LIMITS,
    seconds: float = 5.0,
    allowed: Sequence[str] = ("127.0.0.1",),
    keys: MasterKeys = KEYS,
    clock: Callable[[], float] = time.monotonic,
    proxy: Proxy | None = None,
) -> AsyncIterator[Dispatch]:
    """Open a dispatcher that may send to `allowed` hosts, with a reaper that does not wait.

    A receiver has some seconds to answer. `clock` is that of what the process learns of receivers.
    """
    policy = Policy.of(allowed)
    async with Database(DatabaseSettings(database_url=url), "webhooks-test") as database:
        completer = Completer(database, FailingEndpoints(clock))
        async with Sender(policy, seconds=seconds, proxy=proxy) as sender:
            flights = Flights(sender, policy, keys, completer, clock)
            rounds = Rounds(database, flights, limits, Terms("https://darkroom.example", keys, LEASE))
            survey, gauges = Survey(keys.ids), SurveyGauges(flights)
            dispatcher = Dispatcher(database, flights, rounds, survey, gauges)
            walker = Walker(flights, rounds, survey, gauges)
            yield Dispatch(dispatcher, walker, flights, Reaper(database, dispatcher.wake, timedelta(0)), database)
        await flights.drain()  # flights whose sender is closed end, and record that while there is a database


async def break_receiver(dispatch: Dispatch, shop: Shop, receiver: Receiver) -> None:
    """Let a tenant's attempts fail until its use of the receiver is skipped."""
    receiver.behave = always(500)
    await shop.end(receiver.url)
    before = len(receiver.requests)
    while len(receiver.requests) < before + FAILURES_IN_A_ROW:
        await shop.make_due()
        await dispatch.round()
