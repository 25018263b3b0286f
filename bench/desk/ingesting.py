"""The rate of the ingest: messages that wait in the dead-letter queue, until all are recorded and acknowledged."""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from contextlib import redirect_stderr
from datetime import UTC, datetime
from functools import cache
from uuid import UUID, uuid4

import aio_pika
import msgspec

from bench.measures import NEGATIVE_PROMPT, PROMPT, cpu_seconds
from bench.stack import POSTGRES, Target
from chassis import logs
from chassis.broker import Broker
from chassis.postgres import Database
from chassis.settings import DatabaseSettings, LogSettings
from darkroom_contracts.api import JobInput
from darkroom_contracts.messages import v2
from darkroom_contracts.topology import DEAD_EXCHANGE
from operations.letters.ingest import Ingest

IN_FLIGHT = 200
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
INPUT = JobInput(PROMPT, NEGATIVE_PROMPT, 20, 7.5, "ddim", 512, 512, 7, 1, "png")
HEADERS: dict[str, aio_pika.abc.FieldValue] = {"x-death": [{"reason": "rejected", "queue": "work", "count": 1}]}


class Rate(msgspec.Struct, frozen=True):
    """How fast messages were ingested."""

    messages: int
    seconds: float
    own_cpu_seconds: float
    postgres_cpu_seconds: float

    @property
    def per_second(self) -> float:
        return self.messages / self.seconds

    @property
    def own_microseconds(self) -> float:
        """CPU time of the ingesting process for a message."""
        return self.own_cpu_seconds / self.messages * 1e6

    @property
    def postgres_microseconds(self) -> float:
        return self.postgres_cpu_seconds / self.messages * 1e6


async def ingest_rejected(target: Target, jobs: Sequence[tuple[UUID, UUID]]) -> Rate:
    """Ingest a rejected message of each job, all of which have a letter. A job is given with its tenant."""
    return await _ingest(target, [_message(*job) for job in jobs])


async def ingest_undecodable(target: Target, count: int) -> Rate:
    """Ingest messages that can't be decoded."""
    return await _ingest(target, [b"garbage %d" % number + bytes(1000) for number in range(count)])


def _message(job_id: UUID, tenant_id: UUID) -> bytes:
    now = datetime.now(UTC)
    return v2.encode_render(
        v2.Render(
            job_id=job_id,
            generation=1,
            model="model-0",
            tenant_id=tenant_id,
            input=INPUT,
            cost=INPUT.cost,
            created_at=now,
            expires_at=now,
            ttl_seconds=86_400,
            max_attempts=4,
            instance_id=uuid4(),
            stamped_at=now,
            traceparent=TRACEPARENT,
        )
    )


async def _ingest(target: Target, bodies: Sequence[bytes]) -> Rate:
    await _publish(target, bodies)
    _log_to_a_file()
    broker, postgres = Broker(target.settings["DARKROOM_AMQP_URL"], "bench"), target.supervisor.pids()[POSTGRES]
    async with Database(DatabaseSettings(database_url=target.database), "bench") as database:
        loop = Ingest(database, broker)
        began, own, server = time.perf_counter(), time.process_time(), cpu_seconds(postgres)
        while await loop.run_once():
            pass
        taken = time.perf_counter() - began
        rate = Rate(len(bodies), taken, time.process_time() - own, cpu_seconds(postgres) - server)
    await broker.close()
    return rate


@cache
def _log_to_a_file() -> None:
    """Log as the service does."""
    file = tempfile.TemporaryFile("w+")  # noqa: SIM115 - open as long as this process runs
    with redirect_stderr(file):
        logs.configure("bench", LogSettings())


async def _publish(target: Target, bodies: Sequence[bytes]) -> None:
    async with await aio_pika.connect(target.settings["DARKROOM_AMQP_URL"]) as connection:
        channel = await connection.channel()
        exchange = await channel.get_exchange(DEAD_EXCHANGE, ensure=False)
        for first in range(0, len(bodies), IN_FLIGHT):
            messages = (
                aio_pika.Message(body, headers=HEADERS, delivery_mode=2) for body in bodies[first : first + IN_FLIGHT]
            )
            await asyncio.gather(*(exchange.publish(message, "model-0") for message in messages))
