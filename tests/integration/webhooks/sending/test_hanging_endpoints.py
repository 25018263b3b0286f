"""A thousand endpoints that hang, beside healthy ones."""

import asyncio
import statistics
from collections.abc import AsyncIterator

import psutil
import pytest

from chassis.targets import Policy
from tests.support.webhook_receivers import Receiver, healthy, receiving, sending
from webhooks.sending.outcome import Outcome, Response
from webhooks.sending.sender import Sender

HANGING = 1_000
HEALTHY = 300
HERE = Policy.of(["127.0.0.0/8"])


@pytest.fixture
async def sender() -> AsyncIterator[Sender]:
    async with sending(HERE) as sender:
        yield sender


async def median_of(sender: Sender, receiver: Receiver) -> float:
    """Return the median time of requests, one after the other, over connections that are kept."""
    outcomes = [await sender.send(receiver.target(), {}, b"{}") for _ in range(HEALTHY)]
    assert all(isinstance(outcome, Response) for outcome in outcomes)
    return statistics.median(outcome.timings.total for outcome in outcomes)


async def test_healthy_receivers_are_served_on_time(sender: Sender) -> None:
    """Requests to a healthy receiver are as fast beside them, and a hanging one costs little memory."""
    arrived = asyncio.Semaphore(0)

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        arrived.release()
        await asyncio.Event().wait()

    async with receiving(hang, host="0.0.0.0") as hanging, receiving(healthy) as receiver:
        alone = await median_of(sender, receiver)
        memory = psutil.Process().memory_info().rss
        targets = [hanging.target(host=f"127.1.{n // 250}.{n % 250 + 1}", policy=HERE) for n in range(HANGING)]
        sends: list[asyncio.Task[Outcome]] = [asyncio.create_task(sender.send(target, {}, b"{}")) for target in targets]
        for _ in sends:
            await asyncio.wait_for(arrived.acquire(), 10)
        grown = psutil.Process().memory_info().rss - memory
        beside = await median_of(sender, receiver)
        assert not any(each.done() for each in sends)
        for each in sends:
            each.cancel()
        await asyncio.wait(sends)
    assert beside < alone * 1.5 + 0.001
    assert grown < 60_000_000  # both ends of each connection are in this process
