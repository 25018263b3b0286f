"""Sends that are canceled, as by the end of their time: nothing is left of them."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

import psutil
import pytest
import trustme
import uvloop

from chassis.targets import Target, parse_target
from tests.support.certificates import serving, trusting
from tests.support.webhook_proxies import ConnectProxy, proxying
from tests.support.webhook_receivers import LOOPBACK, OK, answering, read_request, receiving, sending
from webhooks.sending.outcome import Response
from webhooks.sending.pool import Limits
from webhooks.sending.sender import Sender

BODY = b"{}"
PATIENCE = 60
"""Seconds to wait for an event. A machine that stands still for a while must not fail a test."""
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


async def test_a_canceled_send_closes_its_connection() -> None:
    """The receiver sees the end."""
    begun, closed = asyncio.Event(), asyncio.Event()

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        begun.set()
        await reader.read()
        closed.set()

    async with receiving(behave) as receiver, sending() as sender:
        request = asyncio.create_task(sender.send(receiver.target(), {}, BODY))
        await asyncio.wait_for(begun.wait(), PATIENCE)
        request.cancel()
        await asyncio.wait([request])
        assert request.cancelled()
        await asyncio.wait_for(closed.wait(), PATIENCE)


@pytest.mark.parametrize("proxied", [False, True], ids=["directly", "through a proxy"])
@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("loop", LOOPS)
def test_a_send_can_be_canceled_at_any_moment(loop: str, secure: bool, proxied: bool) -> None:
    """No socket is left and its place is free, in whichever step of the loop it is canceled."""
    factory: Callable[[], asyncio.AbstractEventLoop] = LOOPS[loop]
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_cancel_at_every_step(secure, proxied))


async def _cancel_at_every_step(secure: bool, proxied: bool) -> None:
    authority = trustme.CA()
    context = serving(authority.issue_cert("127.0.0.1")) if secure else None
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(receiving(answering(OK), secure=context))
        proxy = await stack.enter_async_context(proxying(ConnectProxy({"127.0.0.1": "127.0.0.1"})))
        target = parse_target(f"http{'s' * secure}://127.0.0.1:{receiver.port}/", LOOPBACK)
        sender = Sender(
            LOOPBACK, proxy=proxy if proxied else None, limits=Limits(total=1, idle=0), ssl_context=trusting(authority)
        )
        port = proxy.port if proxied else receiver.port
        steps = 0
        while not await _is_over_after(sender, target, steps):
            assert await _sockets_close(port), f"canceled after {steps} steps"
            steps += 1
        assert steps > 5
        assert isinstance(await sender.send(target, {}, BODY), Response)


async def _is_over_after(sender: Sender, target: Target, steps: int) -> bool:
    """Begin to send, let the loop run for `steps` steps, cancel, and return whether that was too late."""
    request = asyncio.create_task(sender.send(target, {}, BODY))
    for _ in range(steps):
        await asyncio.sleep(0)
    request.cancel()
    await asyncio.wait([request])
    return not request.cancelled() and isinstance(request.result(), Response)


async def _sockets_close(port: int) -> bool:
    """Return whether this process has no socket that leads to the port, after the loop closed what it was to close."""
    for _ in range(20):
        await asyncio.sleep(0)
        connections = psutil.Process().net_connections("tcp4")
        if not any(each.raddr and each.raddr.port == port and each.fd != -1 for each in connections):
            return True
    return False
