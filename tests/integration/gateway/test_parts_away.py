"""RabbitMQ or Postgres is unavailable."""

import asyncio
import time
from uuid import uuid4

import asyncpg
import pytest

from chassis.errors import BrokerUnavailableError, DatabaseUnavailableError
from chassis.postgres import CONNECT_TIMEOUT_SECONDS, Database
from chassis.settings import load
from darkroom_contracts.models import Catalogue
from darkroom_contracts.topology import work_queue
from gateway.app import open_app
from gateway.batch import LARGEST_BATCH, Committer
from gateway.declarer import Declarer
from gateway.relay import Relay
from gateway.settings import Settings
from gateway.store import JobStore
from tests.integration.gateway.clients import BODY, counts, submit
from tests.integration.gateway.submissions import submission
from tests.support.declared import declared_client
from tests.support.fixtures import BrokerFactory, DatabaseFactory
from tests.support.keys import make_key
from tests.support.queues import Queues
from tests.support.waiting import eventually


async def test_without_rabbitmq_intake_goes_on(
    private_rabbitmq: BrokerFactory, database: str, catalogue: Catalogue, rows: asyncpg.Connection
) -> None:
    """Jobs are accepted and the gateway is ready; the outbox is published when RabbitMQ is back."""
    broker = await private_rabbitmq()
    url = await broker.create_vhost()
    settings = load(Settings, {"DARKROOM_DATABASE_URL": database, "DARKROOM_AMQP_URL": url})
    async with (
        open_app(settings) as gateway,
        declared_client(gateway.http, await make_key(database)) as client,
    ):
        relay = next(loop for loop in gateway.loops if isinstance(loop, Relay))
        declarer = next(loop for loop in gateway.loops if isinstance(loop, Declarer))
        await declarer.run_once()
        await submit(client)
        await relay.run_once()
        await broker.stop()
        await submit(client)
        assert (await client.get("/readyz")).status_code == 200
        with pytest.raises(BrokerUnavailableError):
            await relay.run_once()
        assert await rows.fetchval("SELECT (failures, available_at <= now()) = (0, true) FROM outbox")
        await broker.start()

        async def delivered() -> bool:
            """Return whether the messages arrived. A queue may confirm late, and then gets a message twice."""
            await relay.run_once()
            return not await rows.fetchval("SELECT count(*) FROM outbox")

        await eventually(delivered, seconds=30, what="the outbox is empty")
        assert await Queues(url).waiting(work_queue("tiny")) >= 2


async def test_without_postgres_posts_are_refused_whole(
    private_postgres: DatabaseFactory, vhost: str, catalogue: Catalogue
) -> None:
    """The response is 503 with Retry-After and nothing is half done, also for submissions in progress."""
    server = await private_postgres()
    url = await server.create_database()
    settings = load(Settings, {"DARKROOM_DATABASE_URL": url, "DARKROOM_AMQP_URL": vhost})
    async with open_app(settings) as gateway, declared_client(gateway.http, await make_key(url)) as client:
        job = await submit(client)
        posts = [asyncio.create_task(client.post("/v1/jobs", json=BODY)) for _ in range(20)]
        await server.kill()
        answers = [*await asyncio.gather(*posts), await client.post("/v1/jobs", json=BODY)]
        answers.append(await client.post(job["urls"]["cancel"]))
        assert {answer.status_code for answer in answers} <= {202, 503}
        for answer in (answer for answer in answers if answer.status_code == 503):
            assert answer.json()["code"] == "unavailable"
            assert int(answer.headers["retry-after"]) > 0
        assert [answer.status_code for answer in answers[-2:]] == [503, 503]
        assert (await client.get("/readyz")).status_code == 503

        await server.start()
        await submit(client)
        rows = await asyncpg.connect(url)
        jobs, messages, _ = await counts(rows)
        accepted = 2 + sum(answer.status_code == 202 for answer in answers)
        assert jobs == messages >= accepted
        await rows.close()


async def test_a_commit_that_was_cut_off_is_replayed_under_its_key(
    private_postgres: DatabaseFactory, vhost: str, catalogue: Catalogue
) -> None:
    """After a 503 in doubt, a repetition with the same key results in one job."""
    server = await private_postgres()
    url = await server.create_database()
    settings = load(Settings, {"DARKROOM_DATABASE_URL": url, "DARKROOM_AMQP_URL": vhost})
    keys = [{"Idempotency-Key": f"k{number}"} for number in range(40)]
    async with open_app(settings) as gateway, declared_client(gateway.http, await make_key(url)) as client:
        await submit(client)
        posts = [asyncio.create_task(client.post("/v1/jobs", json=BODY, headers=key)) for key in keys]
        await eventually(lambda: any(post.done() for post in posts), what="the first commit is through")
        await server.kill()
        await asyncio.gather(*posts)
        await server.start()
        answers = [await client.post("/v1/jobs", json=BODY, headers=key) for key in keys]
        assert {answer.status_code for answer in answers} == {202}
        rows = await asyncpg.connect(url)
        assert await counts(rows) == (41, 41, 40)
        await rows.close()


async def test_a_silent_postgres_keeps_nobody_waiting_twice(vhost: str) -> None:
    """When a batch times out, the submissions that waited behind it are refused with it."""
    silent = await asyncio.start_server(_say_nothing, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    settings = load(Settings, {"DARKROOM_DATABASE_URL": f"postgresql://127.0.0.1:{port}/x", "DARKROOM_AMQP_URL": vhost})
    started = time.monotonic()
    async with Database(settings.database, "test") as pool, Committer(JobStore(pool)) as committer:
        posts = [committer.submit(submission(uuid4())) for _ in range(10 * LARGEST_BATCH)]
        results = await asyncio.gather(*posts, return_exceptions=True)
    assert {type(result) for result in results} == {DatabaseUnavailableError}
    assert time.monotonic() - started < 2 * CONNECT_TIMEOUT_SECONDS
    silent.close()


async def _say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()
