"""The depths of RabbitMQ's queues, by declaration and by the management API."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from chassis.broker import Broker
from chassis.consuming import QueueConsumer
from chassis.errors import BrokerUnavailableError
from chassis.publishing import Publisher
from darkroom_contracts.topology import DEAD_QUEUE, WORK_EXCHANGE, Lanes, topology, work_queue
from operations.queues.declared import DeclaredDepths
from operations.queues.management import MAX_BYTES, ManagementDepths, ManagementUnavailableError
from operations.queues.records import Depth, Depths
from tests.support.services import Services
from tests.support.waiting import eventually

QUEUE = work_queue("tiny")
MISSING = work_queue("nothing")


@pytest.fixture
async def broker(vhost: str) -> AsyncIterator[Broker]:
    """Declare the queues; the one of `tiny` has three messages, of which a consumer holds one."""
    opened = Broker(vhost, "depths")
    await opened.declare(topology(["tiny"], Lanes.of()))
    publisher = Publisher(opened)
    for _ in range(3):
        await publisher.publish(WORK_EXCHANGE, "tiny", b"{}", {}, "application/json")
    consumer = QueueConsumer(opened, QUEUE, prefetch=1)
    assert await consumer.get() is not None
    yield opened
    await consumer.close()
    await opened.close()


async def becomes(depths: Depths, queue: str, expected: Depth) -> None:
    """Wait until the queue has this depth; RabbitMQ's statistics are seconds late."""

    async def there() -> bool:
        return (await depths.read([queue])).get(queue) == expected

    await eventually(there, seconds=30, what=f"{queue} has {expected}")


async def test_a_declaration_tells_what_waits(broker: Broker) -> None:
    """A queue that is missing has no depth, and hides no other."""
    depths = DeclaredDepths(broker)
    await becomes(depths, QUEUE, Depth(ready=2))
    read = await depths.read([MISSING, QUEUE, MISSING, DEAD_QUEUE])
    assert read == {QUEUE: Depth(ready=2), DEAD_QUEUE: Depth(ready=0)}


async def test_the_management_api_tells_what_consumers_hold(broker: Broker, vhost: str, services: Services) -> None:
    """It knows ready and unacknowledged messages, and those that are being dead-lettered."""
    depths = ManagementDepths(services.broker.management_url, vhost)
    await becomes(depths, QUEUE, Depth(ready=2, unacknowledged=1, dead_lettering=0))
    assert set(await depths.read([MISSING, QUEUE, DEAD_QUEUE])) == {QUEUE, DEAD_QUEUE}


async def test_a_broker_that_is_away_is_unavailable() -> None:
    """Over AMQP the error is the chassis' own."""
    with pytest.raises(BrokerUnavailableError):
        await DeclaredDepths(Broker("amqp://guest:guest@127.0.0.1:1/", "away")).read([QUEUE])


async def test_a_management_api_that_is_away_keeps_its_password() -> None:
    """The error names neither URL nor password."""
    with pytest.raises(ManagementUnavailableError) as caught:
        await ManagementDepths("http://ada:swordfish@127.0.0.1:1", "amqp://127.0.0.1/").read([QUEUE])
    assert "swordfish" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 500 no\r\ncontent-length: 0\r\n\r\n", id="refusal"),
        pytest.param(b"HTTP/1.1 200 ok\r\ncontent-length: 2\r\n\r\n[]", id="other shape"),
        pytest.param(
            b'HTTP/1.1 200 ok\r\ncontent-length: 37\r\n\r\n{"items":[{"name":"x","messages_ready', id="no JSON"
        ),
        pytest.param(b"HTTP/1.1 200 ok\r\nconnection: close\r\n\r\n" + b"x" * (MAX_BYTES + 1), id="endless"),
        pytest.param(b"nonsense\r\n\r\n", id="no HTTP"),
    ],
)
async def test_a_strange_answer_is_an_outage(answer: bytes) -> None:
    """Whatever answers under the URL, operators miss these depths and nothing else."""

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(respond, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ManagementUnavailableError):
            await ManagementDepths(f"http://127.0.0.1:{port}", "amqp://127.0.0.1/").read([QUEUE])
