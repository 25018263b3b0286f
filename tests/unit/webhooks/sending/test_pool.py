"""The bounds of a sender, and how long connections are kept."""

import asyncio

import pytest

from chassis.targets import Policy
from tests.support.webhook_receivers import healthy, read_request, receiving, sending, silent
from webhooks.sending.outcome import Failure, FailureKind, Response
from webhooks.sending.pool import Limits

ANYWHERE_HERE = Policy.of(["127.0.0.0/8"])


class Gate:
    """A receiver that counts what arrives and what is closed, and answers when it is opened."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.arrived = asyncio.Semaphore(0)
        self.closed = asyncio.Semaphore(0)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await read_request(reader)
                self.arrived.release()
                await self.open.wait()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        finally:
            self.closed.release()


@pytest.mark.parametrize(
    ("limits", "other_origin"), [(Limits(per_origin=2, total=9), False), (Limits(per_origin=9, total=2), True)]
)
async def test_requests_beyond_a_bound_are_not_sent(limits: Limits, other_origin: bool) -> None:
    """The bound for an origin and the bound for all are answered at once; a place that is free again is used."""
    gate = Gate()
    async with receiving(gate, host="0.0.0.0") as receiver, sending(ANYWHERE_HERE, limits=limits) as sender:
        targets = [receiver.target(host=host, policy=ANYWHERE_HERE) for host in ("127.0.0.1", "127.0.0.2")]
        sends = [asyncio.create_task(sender.send(targets[0], {}, b"{}")) for _ in range(2)]
        for _ in sends:
            await asyncio.wait_for(gate.arrived.acquire(), 5)
        refused = await sender.send(targets[other_origin], {}, b"{}")
        assert isinstance(refused, Failure)
        assert refused.kind is FailureKind.BUSY
        assert receiver.accepted == 2
        gate.open.set()
        assert all(isinstance(outcome, Response) for outcome in await asyncio.gather(*sends))
        assert isinstance(await sender.send(targets[other_origin], {}, b"{}"), Response)


async def test_failures_free_their_places() -> None:
    """A place is free again after a timeout."""
    async with receiving(silent) as receiver, sending(limits=Limits(per_origin=1), seconds=0.05) as sender:
        for _ in range(3):
            outcome = await sender.send(receiver.target(), {}, b"{}")
            assert isinstance(outcome, Failure)
            assert outcome.kind is FailureKind.TIMEOUT


async def test_idle_connections_are_closed_after_a_time() -> None:
    """The receiver sees the end of the connection without another request."""
    gate = Gate()
    gate.open.set()
    async with receiving(gate) as receiver, sending(limits=Limits(idle_seconds=0.05)) as sender:
        await sender.send(receiver.target(), {}, b"{}")
        await asyncio.wait_for(gate.closed.acquire(), 5)
        await sender.send(receiver.target(), {}, b"{}")
        assert receiver.accepted == 2


async def test_idle_connections_are_bounded() -> None:
    """The connection that is idle for longest is closed for another."""
    gate = Gate()
    gate.open.set()
    async with receiving(gate, host="0.0.0.0") as receiver, sending(ANYWHERE_HERE, limits=Limits(idle=2)) as sender:
        targets = [receiver.target(host=f"127.0.0.{last}", policy=ANYWHERE_HERE) for last in (1, 2, 3)]
        for target in targets:
            await sender.send(target, {}, b"{}")
        await asyncio.wait_for(gate.closed.acquire(), 5)
        for target in targets[1:]:
            await sender.send(target, {}, b"{}")
        assert receiver.accepted == 3
        await sender.send(targets[0], {}, b"{}")
        assert receiver.accepted == 4


async def test_no_connection_lives_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection past its age is not used again, so that a changed address is noticed."""
    monkeypatch.setattr("webhooks.sending.pool.MAX_AGE_SECONDS", 0.0)
    async with receiving(healthy) as receiver, sending() as sender:
        for _ in range(2):
            await sender.send(receiver.target(), {}, b"{}")
        assert receiver.accepted == 2


async def test_the_end_of_a_sender_closes_what_is_idle() -> None:
    """No connection outlives its sender."""
    gate = Gate()
    gate.open.set()
    async with receiving(gate) as receiver:
        async with sending() as sender:
            await sender.send(receiver.target(), {}, b"{}")
        await asyncio.wait_for(gate.closed.acquire(), 5)
