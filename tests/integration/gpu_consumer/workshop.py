"""The surroundings of a worker: jobs in a real database, messages on a real broker, pictures in a real bucket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest
from aio_pika.exceptions import ChannelNotFoundEntity

from chassis.broker import Broker
from chassis.errors import DatabaseUnavailableError, UnroutableError
from chassis.publishing import Publisher
from chassis.settings import load as load_settings
from darkroom_contracts.api import JobInput
from darkroom_contracts.messages import RenderMessage, encode_render, v2
from darkroom_contracts.messages.v1 import CONTENT_TYPE, Render
from darkroom_contracts.models import Model, load_catalogue
from darkroom_contracts.topology import JOB_ID_HEADER, WORK_EXCHANGE, Lanes, topology, work_queue
from gpu_consumer.job.store import JobStore
from gpu_consumer.protocol import Device, Load
from gpu_consumer.settings import Settings
from tests.support.endpoints import Bucket
from tests.support.models import job_input, load_of
from tests.support.waiting import eventually

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
RETRY_DELAYS = (1, 60)
CATALOGUE = """
[[models]]
name = "tiny"
path = "tiny"
schedulers = ["ddim", "euler"]
width = { minimum = 64, maximum = 128, default = 64 }
height = { minimum = 64, maximum = 128, default = 64 }
steps = { minimum = 1, maximum = 1000, default = 3 }
guidance_scale = { minimum = 0, maximum = 20, default = 7.5 }
max_images = 4
max_cost = 20_000_000
"""
TAKE_NAME = "SELECT pg_advisory_lock(hashtextextended('darkroom worker anna', 0))"
"""Takes the name of the workshop's worker, as a living worker does."""
LONG = job_input(num_inference_steps=999)
"""Some twenty seconds: every test ends it long before."""


def load(folder: Path, device: Device = "cpu") -> Load:
    return load_of(folder, device=device)


class Workshop:
    """One fresh database, vhost and bucket. It has SQL of its own, so that a wrong query of the worker is noticed."""

    def __init__(self, database: str, vhost: str, bucket: Bucket, models_home: Path, folder: Path) -> None:
        catalogue = folder / "models.toml"
        catalogue.write_text(CATALOGUE)
        self.bucket = bucket
        self.environment = {
            "DARKROOM_DATABASE_URL": database,
            "DARKROOM_AMQP_URL": vhost,
            "DARKROOM_RETRY_DELAYS": ",".join(map(str, RETRY_DELAYS)),
            "DARKROOM_MODELS_FILE": str(catalogue),
            "DARKROOM_MODELS_HOME": str(models_home),
            "DARKROOM_MODEL": "tiny",
            "DARKROOM_DEVICE": "cpu",
            "DARKROOM_WORKER_NAME": "anna",
            "DARKROOM_LEASE_SECONDS": "5",
            **bucket.environment(),
        }
        self.lanes = Lanes.of(RETRY_DELAYS)
        self.topology = topology(["tiny"], self.lanes)
        self._broker = Broker(vhost, "workshop")
        self._publisher = Publisher(self._broker)
        self._tenant = uuid4()

    async def __aenter__(self) -> Self:
        self._connection = await asyncpg.connect(self.environment["DARKROOM_DATABASE_URL"])
        await self._connection.execute("INSERT INTO tenants (id, name) VALUES ($1, 'acme')", self._tenant)
        await self._broker.declare(self.topology)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._connection.close()
        await self._broker.close()

    def settings(self, **changes: str) -> Settings:
        """Return the worker's settings; a change of `lease_seconds` is DARKROOM_LEASE_SECONDS."""
        changed = {f"DARKROOM_{name.upper()}": value for name, value in changes.items()}
        return load_settings(Settings, self.environment | changed)

    def model(self) -> Model:
        return load_catalogue(Path(self.environment["DARKROOM_MODELS_FILE"])).find("tiny")

    async def add_job(self, wanted: JobInput | None = None, **columns: Any) -> Render:
        """Add a queued job, and return its message, not published yet."""
        values: dict[str, Any] = {
            "id": uuid4(),
            "tenant_id": self._tenant,
            "model": "tiny",
            "input": msgspec.json.encode(wanted or job_input()).decode(),
            "traceparent": TRACEPARENT,
            "ttl": timedelta(hours=1),
        } | columns
        names = ", ".join(values)
        places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
        await self._connection.execute(
            f"INSERT INTO jobs ({names}, expires_at) VALUES ({places}, now() + interval '1 hour')", *values.values()
        )
        return Render(values["id"], columns.get("generation", 1), values["model"], TRACEPARENT)

    async def complete(self, message: Render, **changes: Any) -> v2.Render:
        """Return the message of a job as the relay builds it: with the whole input, stamped now."""
        now = datetime.now(UTC)
        values: dict[str, Any] = {
            "job_id": message.job_id,
            "generation": message.generation,
            "model": message.model,
            "tenant_id": self._tenant,
            "input": job_input(),
            "cost": job_input().cost,
            "created_at": now,
            "expires_at": now,
            "ttl_seconds": 3600,
            "max_attempts": 4,
            "instance_id": await self._connection.fetchval("SELECT id FROM instance"),
            "stamped_at": now,
            "traceparent": TRACEPARENT,
        }
        return v2.Render(**(values | changes))

    async def lose_claim(self, job_id: UUID, changes: str = "step = NULL") -> None:
        """Undo a claim, as a crash of Postgres does before the claim has reached the disk."""
        await self.execute(
            f"UPDATE jobs SET status = 'queued', attempt = attempt - 1, lease_token = NULL, lease_expires_at = NULL,"
            f" {changes} WHERE id = $1",
            job_id,
        )
        await self.execute("DELETE FROM attempts WHERE job_id = $1 AND outcome IS NULL", job_id)

    async def consumed(self) -> None:
        """Wait until the queue is empty and no message is unacked."""
        await self.waiting_becomes(0)
        await eventually(self.queues_are_empty)

    async def publish(self, message: RenderMessage) -> None:
        """Put the message on the model's queue, as the relay does."""
        headers = {JOB_ID_HEADER: str(message.job_id), "traceparent": TRACEPARENT}
        await self._publisher.publish(WORK_EXCHANGE, "tiny", encode_render(message), headers, CONTENT_TYPE)

    async def publish_raw(self, body: bytes, headers: dict[str, Any] | None = None) -> None:
        await self._publisher.publish(WORK_EXCHANGE, "tiny", body, headers or {}, CONTENT_TYPE)

    async def submit(self, wanted: JobInput | None = None, **columns: Any) -> UUID:
        """Add a queued job and publish its message."""
        message = await self.add_job(wanted, **columns)
        await self.publish(message)
        return message.job_id

    async def execute(self, statement: str, *arguments: Any) -> None:
        await self._connection.execute(statement, *arguments)

    async def job(self, job_id: UUID) -> asyncpg.Record:
        return await self._connection.fetchrow("SELECT * FROM jobs WHERE id = $1", job_id)

    async def attempts(self, job_id: UUID) -> list[asyncpg.Record]:
        """Return the job's attempts, oldest first."""
        return list(
            await self._connection.fetch("SELECT * FROM attempts WHERE job_id = $1 ORDER BY started_at", job_id)
        )

    async def outcomes(self, job_id: UUID) -> list[str | None]:
        return [attempt["outcome"] for attempt in await self.attempts(job_id)]

    async def rows(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        return list(await self._connection.fetch(query, *arguments))

    async def reached(self, job_id: UUID, status: str, seconds: float = 30) -> asyncpg.Record:
        """Wait until the job has that status, and return its row."""

        async def there() -> bool:
            return bool((await self.job(job_id))["status"] == status)

        try:
            await eventually(there, seconds=seconds, what=f"job {status}")
        except TimeoutError as error:
            raise TimeoutError(f"{error}; it is {dict(await self.job(job_id))}") from error
        return await self.job(job_id)

    async def stepping(self, job_id: UUID) -> None:
        """Wait until the job's row has a step, which shows that it renders."""

        async def steps() -> bool:
            return (await self.job(job_id))["step"] is not None

        await eventually(steps, what="the job renders")

    async def waiting(self, queue: str = work_queue("tiny")) -> int:
        """Return the number of messages that wait in the queue, 0 if it does not exist."""
        channel = await self._broker.channel()
        try:
            declared = await channel.declare_queue(queue, passive=True)
        except ChannelNotFoundEntity:
            return 0
        await channel.close()
        return int(declared.declaration_result.message_count or 0)

    async def waiting_becomes(self, count: int, queue: str = work_queue("tiny")) -> None:
        await eventually(lambda: self.waiting_is(count, queue), what=f"{count} messages wait in {queue}")

    async def anything_parked(self) -> bool:
        """Return whether a message waits in a lane."""
        return any([await self.waiting(lane.queue) for lane in self.lanes])

    async def waiting_is(self, count: int, queue: str = work_queue("tiny")) -> bool:
        return await self.waiting(queue) == count

    async def take(self, queue: str) -> Any:
        """Wait for one message in the queue and take it."""
        await self.waiting_becomes(1, queue)
        channel = await self._broker.channel()
        message = await (await channel.get_queue(queue, ensure=False)).get(no_ack=True)
        await channel.close()
        return message

    async def delete_queue(self, queue: str) -> None:
        channel = await self._broker.channel()
        await channel.queue_delete(queue)
        await channel.close()

    async def publishes(self, message: Render) -> bool:
        """Publish the message, and return whether the queue exists."""
        try:
            await self.publish(message)
        except UnroutableError:
            return False
        return True

    @asynccontextmanager
    async def bucket_missing(self) -> AsyncIterator[None]:
        """Let S3 refuse every picture within the context."""
        client = self.bucket.client()
        await asyncio.to_thread(client.remove_bucket, self.bucket.name)
        yield
        await asyncio.to_thread(client.make_bucket, self.bucket.name)

    async def reached_attempt_end(self, job_id: UUID) -> asyncpg.Record:
        """Wait until an attempt of the job has an outcome, and return the job's row."""

        async def ended() -> bool:
            return any(await self.outcomes(job_id))

        await eventually(ended, seconds=30, what="the attempt ends")
        return await self.job(job_id)

    def lose_the_first_answer(self, store: JobStore, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let the first call take effect and answer it by a lost connection."""
        act = getattr(store, method)
        answers_lost = 0

        async def lossy(*arguments: Any, **named: Any) -> Any:
            nonlocal answers_lost
            answer = await act(*arguments, **named)
            if answers_lost == 0:
                answers_lost += 1
                raise DatabaseUnavailableError("the answer was lost")
            return answer

        monkeypatch.setattr(store, method, lossy)

    async def queues_are_empty(self) -> bool:
        return not any([await self.waiting(queue.name) for queue in self.topology.queues])
