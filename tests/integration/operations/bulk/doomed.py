"""A process that carries out bulk replays, publishes their messages, and kills itself at one edge.

    python -m tests.integration.operations.bulk.doomed EDGE MOMENT CALL

EDGE is a key of COMMITS or STEPS, MOMENT `before` or `after`, and CALL says at which of its occurrences. The parts come
from DARKROOM_DATABASE_URL and DARKROOM_AMQP_URL. A process that does not meet its edge ends with 1.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import wraps
from typing import Any

from chassis.broker import Broker
from chassis.loops import Loop
from chassis.postgres import Connection, Database
from chassis.settings import DatabaseSettings
from darkroom_contracts.topology import Lanes
from gateway import relay
from gateway.declarer import Declarer
from gateway.publishers import Publishers
from gateway.relay import Relay
from gateway.store import OutboxStore
from operations.bulk import store
from operations.bulk.following import Following
from operations.bulk.planning import Planning
from operations.bulk.running import Running
from operations.replays.edits import Bounds
from tests.integration.operations.replays.catalogues import catalogue

SECONDS = 30
CHUNK = 2
COMMITS = ("commit of a plan", "commit of an item", "commit of the relay")
STEPS: dict[str, tuple[Any, str]] = {
    "publish": (Publishers, "send"),
    "confirm": (relay, "wait_for_answers"),
    "end of items": (store, "follow_items"),
    "end of the replay": (store, "finish"),
}


class Edge:
    """Kills this process before or after the `call`-th occurrence of something."""

    def __init__(self, moment: str, call: int) -> None:
        self._moment = moment
        self._call = call
        self._calls = 0

    def reach(self, moment: str) -> None:
        """Die if this is the moment."""
        self._calls += moment == "before"
        if (self._calls, moment) == (self._call, self._moment):
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, step: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Return the step with the edge at its beginning and its end."""

        @wraps(step)
        async def edged(*arguments: Any, **named: Any) -> Any:
            self.reach("before")
            result = await step(*arguments, **named)
            self.reach("after")
            return result

        return edged


class EdgedDatabase(Database):
    """Each commit of its transactions is the edge."""

    edge: Edge | None = None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        async with super().transaction() as connection:
            yield connection
            if self.edge:
                self.edge.reach("before")
        if self.edge:
            self.edge.reach("after")


async def main(name: str, moment: str, call: int) -> None:
    edge = Edge(moment, call)
    if name in STEPS:
        owner, attribute = STEPS[name]
        setattr(owner, attribute, edge.around(getattr(owner, attribute)))
    settings = DatabaseSettings(database_url=os.environ["DARKROOM_DATABASE_URL"])
    databases = {each: EdgedDatabase(settings, "doomed") for each in COMMITS}
    if name in COMMITS:
        databases[name].edge = edge
    broker = Broker(os.environ["DARKROOM_AMQP_URL"], "doomed")
    async with AsyncExitStack() as opened:
        for database in databases.values():
            await opened.enter_async_context(database)
        await _run(_loops(databases, broker))


def _loops(databases: dict[str, EdgedDatabase], broker: Broker) -> list[Loop]:
    plans, items, messages = databases.values()
    bounds = Bounds(catalogue)
    declarer = Declarer(broker, ["tiny"], Lanes.of())
    return [
        Planning(plans, bounds, CHUNK),
        Running(items, bounds),
        Relay(messages, OutboxStore(), Publishers(broker), declarer),
        Following(plans),
    ]


async def _run(loops: list[Loop]) -> None:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        for loop in loops:
            await loop.run_once()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
    sys.exit(1)
