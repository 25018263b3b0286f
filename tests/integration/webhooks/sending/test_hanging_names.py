"""A thousand receivers whose names hang in the resolver, beside healthy ones."""

import asyncio
import statistics
import threading
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from chassis.targets import Policy, Target, parse_target
from tests.support.webhook_receivers import LOOPBACK, Receiver, found, healthy, receiving, sending
from webhooks.sending.outcome import Response
from webhooks.sending.pool import Limits
from webhooks.sending.resolving import Resolver, Threads
from webhooks.sending.sender import Sender

HANGING = 1_000
IN_FLIGHT_UNPROVEN = 128
"""Half of what a dispatcher has in flight by default: as many as it sends to receivers that did not work before."""
HEALTHY = 200


class LookUp:
    """A resolver in which all names hang but those of healthy receivers."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.hanging = 0

    def __call__(self, host: bytes, port: None, **options: Any) -> list[Any]:
        if host.startswith(b"hangs"):
            self.hanging += 1
            self.release.wait(60)
        return found("127.0.0.1")


@pytest.fixture
def look_up() -> Iterator[LookUp]:
    """Yield such a resolver. At the end nothing hangs any more, so that no thread is left."""
    look_up = LookUp()
    yield look_up
    look_up.release.set()


def target(name: str, receiver: Receiver) -> Target:
    host = f"{name}.example.com"
    return parse_target(f"http://{host}:{receiver.port}/", Policy.of([host]))


async def median_of(sender: Sender, targets: list[Target]) -> float:
    """Return the median time of requests, one after the other, each over a connection and a look-up of its own."""
    outcomes = [await sender.send(each, {}, b"{}") for each in targets]
    assert all(isinstance(outcome, Response) for outcome in outcomes)
    return statistics.median(outcome.timings.total for outcome in outcomes)


async def begin_to_hang(sender: Sender, receiver: Receiver, count: int) -> list[asyncio.Task[Any]]:
    sends = [asyncio.create_task(sender.send(target(f"hangs-{n}", receiver), {}, b"{}")) for n in range(count)]
    await asyncio.sleep(0)
    return sends


async def end(sends: list[asyncio.Task[Any]]) -> None:
    for each in sends:
        each.cancel()
    await asyncio.wait(sends)


async def test_receivers_that_worked_are_served_on_time(look_up: LookUp) -> None:
    """A name that was resolved before is as quick beside a thousand that hang, which cost bounded memory."""
    async with (
        receiving(healthy) as receiver,
        sending(LOOPBACK, resolver=Resolver(look_up), limits=Limits(idle=0)) as sender,
    ):
        known = [target("healthy", receiver)] * HEALTHY
        alone = await median_of(sender, known)
        memory = psutil.Process().memory_info().rss
        sends = await begin_to_hang(sender, receiver, HANGING)
        beside = await median_of(sender, known)
        grown = psutil.Process().memory_info().rss - memory
        assert look_up.hanging == Threads().unproven
        await end(sends)
    assert beside < alone * 1.5 + 0.002
    assert grown < 30_000_000


async def test_new_receivers_are_served_on_time(look_up: LookUp) -> None:
    """Names that were never resolved are as quick beside as many that hang as a dispatcher has in flight."""
    async with (
        receiving(healthy) as receiver,
        sending(LOOPBACK, resolver=Resolver(look_up), limits=Limits(idle=0)) as sender,
    ):
        alone = await median_of(sender, [target(f"new-{n}", receiver) for n in range(HEALTHY)])
        sends = await begin_to_hang(sender, receiver, IN_FLIGHT_UNPROVEN)
        beside = await median_of(sender, [target(f"newer-{n}", receiver) for n in range(HEALTHY)])
        assert look_up.hanging == IN_FLIGHT_UNPROVEN
        await end(sends)
    assert beside < alone * 1.5 + 0.002
