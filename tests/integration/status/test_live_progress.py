"""Steps between two heartbeats, from live events."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import httpx2
import pytest

from chassis.broker import Broker
from chassis.errors import BrokerUnavailableError, UnroutableError
from chassis.publishing import Announcer, Publisher
from chassis.service import App
from chassis.settings import load
from darkroom_contracts.messages.v1 import CONTENT_TYPE, Progress, encode
from darkroom_contracts.models import Catalogue
from darkroom_contracts.topology import EVENTS_EXCHANGE
from status.app import open_app
from status.live import LiveProgress, ProgressListener
from status.settings import Settings
from tests.integration.status.jobs import TenantJobs
from tests.support.declared import declared_client
from tests.support.fixtures import BrokerFactory
from tests.support.services import Services
from tests.support.waiting import eventually


@pytest.fixture
def environment(environment: dict[str, str], vhost: str) -> dict[str, str]:
    """Return settings with a real broker."""
    return environment | {"DARKROOM_AMQP_URL": vhost}


@pytest.fixture
async def broker(vhost: str) -> AsyncIterator[Broker]:
    broker = Broker(vhost, "test")
    yield broker
    await broker.close()


def listener_of(status: App) -> ProgressListener:
    (listener,) = (loop for loop in status.loops if isinstance(loop, ProgressListener))
    return listener


async def announce(broker: Broker, job_id: UUID, step: int, **changes: int) -> None:
    """Publish a step as a worker does."""
    numbers = {"generation": 1, "attempt": 1, "steps": 20} | changes
    body = encode(Progress(job_id, step=step, **numbers))
    await Announcer(broker).announce(EVENTS_EXCHANGE, f"job.{job_id}", body, CONTENT_TYPE)


async def step_of(client: httpx2.AsyncClient, job_id: UUID) -> int:
    return int((await client.get(f"/v1/jobs/{job_id}")).json()["progress"]["step"])


async def test_a_step_told_between_two_heartbeats_is_shown(
    status: App, client: httpx2.AsyncClient, jobs: TenantJobs, broker: Broker
) -> None:
    """A client that polls sees it before the row has it."""
    await listener_of(status).run_once()
    (job_id,) = await jobs.queue()
    await jobs.claim(job_id)
    await jobs.report(job_id, 4)
    await announce(broker, job_id, 9)

    async def shown() -> bool:
        return await step_of(client, job_id) == 9

    await eventually(shown, what="the ninth step is shown")


async def test_a_step_of_the_attempt_before_is_not_shown(
    status: App, client: httpx2.AsyncClient, jobs: TenantJobs, broker: Broker
) -> None:
    """The events arrive in order: once the second job's is shown, the first job's was skipped."""
    await listener_of(status).run_once()
    late, fresh = await jobs.queue(2)
    for job_id in (late, fresh):
        await jobs.claim(job_id)
    sender = Announcer(broker)
    for job_id, attempt in ((late, 0), (fresh, 1)):
        body = encode(Progress(job_id, generation=1, attempt=attempt, step=9, steps=20))
        await sender.announce(EVENTS_EXCHANGE, f"job.{job_id}", body, CONTENT_TYPE)

    async def arrived() -> bool:
        return await step_of(client, fresh) == 9

    await eventually(arrived)
    assert await step_of(client, late) == 0


async def test_without_a_broker_the_row_tells_the_steps(
    environment: dict[str, str], catalogue: Catalogue, jobs: TenantJobs
) -> None:
    """Without RabbitMQ only the steps between two heartbeats are missing, and the service is ready."""
    (job_id,) = await jobs.queue()
    await jobs.claim(job_id)
    await jobs.report(job_id, 4)
    environment["DARKROOM_AMQP_URL"] = "amqp://guest:guest@127.0.0.1:1/"
    async with open_app(load(Settings, environment)) as status, declared_client(status.http, jobs.key) as client:
        with pytest.raises(BrokerUnavailableError):
            await listener_of(status).run_once()
        assert await step_of(client, job_id) == 4
        assert (await client.get("/readyz")).json() == {"ready": True, "checks": {"database": "ok"}}


async def test_a_subscription_that_stands_is_left_alone(status: App, vhost: str, services: Services) -> None:
    """A round without a lost subscription does nothing."""
    listener = listener_of(status)
    assert [await listener.run_once() for _ in range(3)] == [False] * 3
    async with services.broker.management() as http:
        queues = (await http.get(f"/api/queues/{vhost.rsplit('/', 1)[1]}")).json()
    (queue,) = queues
    assert queue["arguments"] == {"x-max-length": 10_000, "x-queue-type": "classic"}
    assert (queue["exclusive"], queue["auto_delete"], queue["durable"]) == (True, True, False)


@pytest.mark.chaos
async def test_a_lost_subscription_is_renewed(private_rabbitmq: BrokerFactory) -> None:
    """After a restart of the broker the next rounds subscribe again."""
    rabbitmq = await private_rabbitmq()
    broker, live = Broker(rabbitmq.amqp_url, "status"), LiveProgress()
    listener = ProgressListener(broker, live)
    await listener.run_once()
    await rabbitmq.restart()
    stop = asyncio.Event()
    running = asyncio.create_task(listener.run(stop))
    publisher = Publisher(broker)
    job_id = UUID(int=1)

    async def heard() -> bool:
        try:
            await publisher.publish(
                EVENTS_EXCHANGE, f"job.{job_id}", encode(Progress(job_id, 1, 1, 3, 20)), {}, CONTENT_TYPE
            )
        except (BrokerUnavailableError, UnroutableError):
            return False
        return live.of(job_id, 1, 1) is not None

    await eventually(heard, seconds=30, what="an event is heard after the restart")
    stop.set()
    await running
    await broker.close()
