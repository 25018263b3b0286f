"""The rate of the ingest: messages that wait in the dead-letter queue, until all are recorded and acknowledged."""

import asyncio
import time
from collections.abc import Sequence
from uuid import UUID

import aio_pika
import msgspec
import structlog

from bench.stack import Target
from chassis.broker import Broker
from chassis.postgres import Database
from chassis.settings import DatabaseSettings
from darkroom_contracts.messages import v1
from darkroom_contracts.topology import DEAD_EXCHANGE
from operations.letters.ingest import Ingest

IN_FLIGHT = 200
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
HEADERS: dict[str, aio_pika.abc.FieldValue] = {"x-death": [{"reason": "rejected", "queue": "work", "count": 1}]}


class Rate(msgspec.Struct, frozen=True):
    """How fast messages were ingested."""

    messages: int
    seconds: float

    @property
    def per_second(self) -> float:
        return self.messages / self.seconds


async def ingest_rejected(target: Target, jobs: Sequence[UUID]) -> Rate:
    """Ingest a rejected message of each job, all of which have a letter."""
    return await _ingest(target, [v1.encode(v1.Render(job_id, 1, "model-0", TRACEPARENT)) for job_id in jobs])


async def ingest_undecodable(target: Target, count: int) -> Rate:
    """Ingest messages that can't be decoded."""
    return await _ingest(target, [b"garbage %d" % number + bytes(1000) for number in range(count)])


async def _ingest(target: Target, bodies: Sequence[bytes]) -> Rate:
    await _publish(target, bodies)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    broker = Broker(target.settings["DARKROOM_AMQP_URL"], "bench")
    async with Database(DatabaseSettings(database_url=target.database), "bench") as database:
        loop = Ingest(database, broker)
        began = time.perf_counter()
        while await loop.run_once():
            pass
        taken = time.perf_counter() - began
    await broker.close()
    return Rate(len(bodies), taken)


async def _publish(target: Target, bodies: Sequence[bytes]) -> None:
    async with await aio_pika.connect(target.settings["DARKROOM_AMQP_URL"]) as connection:
        channel = await connection.channel()
        exchange = await channel.get_exchange(DEAD_EXCHANGE, ensure=False)
        for first in range(0, len(bodies), IN_FLIGHT):
            messages = (
                aio_pika.Message(body, headers=HEADERS, delivery_mode=2) for body in bodies[first : first + IN_FLIGHT]
            )
            await asyncio.gather(*(exchange.publish(message, "model-0") for message in messages))
