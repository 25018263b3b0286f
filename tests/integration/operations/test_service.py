import asyncio
import sys
from datetime import timedelta
from uuid import UUID, uuid4

import aio_pika
import httpx2
import pytest
from aio_pika.exceptions import DeliveryError

from chassis.broker import Broker
from darkroom_contracts.schema import migrations
from darkroom_contracts.topology import DEAD_EXCHANGE, Lanes, topology
from darkroom_local.home import REPOSITORY
from darkroom_local.probes import http_status
from darkroom_local.program import base_environment
from tests.integration.operations.jobs import Jobs
from tests.support.endpoints import Bucket
from tests.support.fixtures import BrokerFactory, ServiceFactory
from tests.support.processes import ServiceProcess
from tests.support.waiting import eventually

LEASE_SECONDS = "1"


@pytest.fixture
def settings(database: str, vhost: str, bucket: Bucket) -> dict[str, str]:
    return {
        "DARKROOM_DATABASE_URL": database,
        "DARKROOM_AMQP_URL": vhost,
        "DARKROOM_LEASE_SECONDS": LEASE_SECONDS,
        "DARKROOM_MODELS_FILE": str(REPOSITORY / "deploy" / "models.toml"),
        **bucket.environment(),
    }


@pytest.fixture
async def operations(settings: dict[str, str], start_service: ServiceFactory) -> ServiceProcess:
    """Start the service as a process, with a lease of one second."""
    return await start_service("operations", settings)


async def declare_dead_letters(vhost: str) -> None:
    """Declare the dead-letter queue: the service may be ready before it has declared it."""
    broker = Broker(vhost, "test")
    await broker.declare(topology([], Lanes(())))
    await broker.close()


async def test_its_loops_do_their_work(operations: ServiceProcess, jobs: Jobs, vhost: str) -> None:
    """The running service rescues, expires and republishes jobs, and drains the dead-letter queue."""
    lost = await jobs.running(lease="-1 second")
    late = await jobs.queued(expires_at="now()")
    unpublished = await jobs.queued(timedelta(hours=1))
    await jobs.session(empty="now() - interval '30 seconds'")
    await publish_garbage(vhost, uuid4().bytes)

    async def done() -> bool:
        counts = await jobs.fetch(
            "SELECT (SELECT count(*) FROM outbox WHERE job_id IN ($1, $2)), (SELECT count(*) FROM dead_letters)",
            lost,
            unpublished,
        )
        return tuple(counts[0]) == (2, 1) and await jobs.status(late) == "expired"

    await eventually(done, seconds=30, what="every loop did its work")
    assert await jobs.status(lost) == "queued"


async def publish_garbage(vhost: str, body: bytes) -> None:
    """Publish an undecodable message to the dead-letter queue. Raises TimeoutError while the queue confirms nothing."""
    await declare_dead_letters(vhost)
    async with await aio_pika.connect(vhost) as connection:
        channel = await connection.channel()
        await (await channel.get_exchange(DEAD_EXCHANGE)).publish(aio_pika.Message(body), "", timeout=5)


async def test_it_works_without_rabbitmq(
    private_rabbitmq: BrokerFactory, settings: dict[str, str], jobs: Jobs, start_service: ServiceFactory
) -> None:
    """Without RabbitMQ, from the start or later, operations is ready and rescues jobs; then the ingest resumes.

    The queue is older than the kill: RabbitMQ registers a new queue on its disk only after a second or two, and with a
    graceful stop (docs/operating.md, "A queue without a leader").
    """
    broker = await private_rabbitmq()
    await declare_dead_letters(broker.amqp_url)
    await broker.stop()
    operations = await start_service("operations", settings | {"DARKROOM_AMQP_URL": broker.amqp_url})

    async def works() -> None:
        lost = await jobs.running(lease="-1 second")
        await eventually(lambda: _is(jobs, lost, "queued"), what="a lost job was rescued")
        assert await asyncio.to_thread(http_status, operations.port, "/readyz") == 200

    async def ingests(letters: int) -> None:
        body = uuid4().bytes

        async def published() -> bool:
            """Publish, unless the queue is still starting. One that confirms late gets the same letter twice."""
            try:
                await publish_garbage(broker.amqp_url, body)
            except (DeliveryError, TimeoutError):
                return False
            return True

        await eventually(published, seconds=60, what="the dead-letter queue takes a message")

        async def ingested() -> bool:
            return bool(await jobs.value("SELECT count(*) FROM dead_letters") == letters)

        await eventually(ingested, seconds=30, what="the dead message was ingested")

    await works()
    await broker.start()
    await ingests(1)
    await broker.kill()
    await works()
    await broker.start()
    await ingests(2)


async def _is(jobs: Jobs, job_id: UUID, status: str) -> bool:
    return await jobs.status(job_id) == status


async def test_it_tells_how_the_queues_stand(operations: ServiceProcess, jobs: Jobs) -> None:
    """/metrics has jobs, pauses and workers by model, the outbox, open dead letters and RabbitMQ's depths."""
    await jobs.dead()
    await jobs.queued()
    await jobs.running(lease="1 hour")
    await jobs.execute("INSERT INTO outbox (job_id, generation, model) SELECT id, 1, model FROM jobs")
    await jobs.execute("INSERT INTO paused_models (model, paused_by, reason) VALUES ('tiny', 'ada', 'new weights')")
    await jobs.session()
    await operations.stop()
    await operations.restart()

    async def sampled() -> bool:
        async with httpx2.AsyncClient(trust_env=False) as http:
            text = (await http.get(f"{operations.url}/metrics")).text
        return all(
            line in text
            for line in (
                'darkroom_jobs{model="tiny",status="queued"} 1.0',
                'darkroom_jobs{model="tiny",status="running"} 1.0',
                "darkroom_outbox_messages 3.0",
                'darkroom_dead_letters_open{kind="job"} 1.0',
                'darkroom_dead_letters_open{kind="undecodable"} 0.0',
                'darkroom_dead_letters_open{kind="webhook"} 0.0',
                'darkroom_queue_oldest_seconds{model="tiny"}',
                'darkroom_model_paused{model="tiny"} 1.0',
                'darkroom_workers{model="tiny"} 1.0',
                'darkroom_broker_messages{queue="darkroom.dead.v1",state="ready"} 0.0',
                'darkroom_alerts_open{kind="worker.lost"} 0.0',
            )
        )

    await eventually(sampled, seconds=40, what="the gauges were sampled, and the watch has waited a lease")


async def test_it_drains_on_sigterm(operations: ServiceProcess) -> None:
    """On SIGTERM the loops drain and the service exits with code 0."""
    assert await operations.stop() == 0
    assert "service stopped" in operations.output()


async def test_several_work_side_by_side(
    operations: ServiceProcess, jobs: Jobs, settings: dict[str, str], start_service: ServiceFactory
) -> None:
    """Two processes share the work: each lost job is rescued once."""
    await start_service("operations", settings)
    lost = [await jobs.running(lease="-1 second") for _ in range(50)]

    async def rescued() -> bool:
        return bool(await jobs.value("SELECT count(*) FROM jobs WHERE status = 'queued'") == len(lost))

    await eventually(rescued, seconds=30, what="every job was rescued")
    assert await jobs.value("SELECT max(attempt) FROM jobs") == 1
    assert await jobs.value("SELECT count(*) FROM attempts WHERE outcome = 'lost'") == len(lost)


async def test_wrong_settings_are_reported_together(start_service: ServiceFactory, vhost: str) -> None:
    """Every wrong or missing setting is named on stderr, and the service does not start."""
    process = await start_service(
        "operations", {"DARKROOM_AMQP_URL": vhost, "DARKROOM_LEASE_SECONDS": "soon"}, wait_ready=False
    )
    assert await process.wait() == 64
    output = process.output()
    assert "DARKROOM_DATABASE_URL: is not set" in output
    assert "DARKROOM_LEASE_SECONDS" in output


async def test_contradictory_settings_are_reported_together(
    start_service: ServiceFactory, settings: dict[str, str]
) -> None:
    """Contradictory ages are refused, each with a sentence that says what to change."""
    ages = {"RETAIN_JOBS_DAYS": "1", "RETAIN_PICTURES_DAYS": "2", "IDEMPOTENCY_HOURS": "25"}
    process = await start_service(
        "operations", settings | {f"DARKROOM_{name}": age for name, age in ages.items()}, wait_ready=False
    )
    assert await process.wait() == 64
    output = process.output()
    assert "pictures can't be kept for longer (2 days) than their jobs (1)" in output
    assert "before the Idempotency-Keys that refer to them (25 hours)" in output


async def test_the_module_migrates_too(empty_database: str) -> None:
    """`python -m operations.migrations` brings an empty database up to date, once."""
    first, second = [await _migrate(empty_database) for _ in range(2)]
    assert first == (0, "".join(f"Applied migration {m.version} ({m.name}).\n" for m in migrations()))
    assert second == (0, "The database is up to date.\n")


async def _migrate(url: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "operations.migrations",
        env={**base_environment(), "DARKROOM_DATABASE_URL": url},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    return process.returncode, out.decode()
