"""A resolver that flips between an allowed and a denied address, asserted at the sockets of both."""

import asyncio
import itertools
import socket
import ssl
from contextlib import suppress
from typing import Any, Self

from chassis.targets import Policy, parse_target
from tests.support.webhook_receivers import LOOPBACK, found, recorded_connects
from webhooks.sending.dialing import Dialer
from webhooks.sending.direct import Direct
from webhooks.sending.outcome import FailureKind, Progress, SendError
from webhooks.sending.resolving import Resolver

FLIPS = 10_000
NAMED = "hooks.example.com"


class Listener:
    """A listening socket that counts and closes what connects to it."""

    def __init__(self, host: str, port: int = 0) -> None:
        self.accepted = 0
        self._socket = socket.create_server((host, port), backlog=1_024)
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]

    def __enter__(self) -> Self:
        asyncio.get_running_loop().add_reader(self._socket, self._accept)
        return self

    def _accept(self) -> None:
        self._socket.accept()[0].close()
        self.accepted += 1

    def __exit__(self, *error: object) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        with suppress(BlockingIOError):
            while True:
                self._accept()
        self._socket.close()


async def test_a_resolver_that_flips_leads_nowhere() -> None:
    """Of 10,000 look-ups that flip between an allowed and a denied address, none leads to the denied one."""
    turns = itertools.cycle((("127.0.0.2",), ("127.0.0.1",), ("127.0.0.2", "127.0.0.1"), ("127.0.0.1", "127.0.0.2")))
    look_ups = itertools.count()

    def flip(host: bytes, port: None, **options: Any) -> list[Any]:
        next(look_ups)
        return found(*next(turns))

    denials: list[FailureKind] = []
    with (
        recorded_connects() as connects,
        Listener("127.0.0.1") as allowed,
        Listener("127.0.0.2", allowed.port) as denied,
    ):
        target = parse_target(f"http://{NAMED}:{allowed.port}/", Policy.of([NAMED]))
        dialer = Dialer(Direct(LOOPBACK, Resolver(flip)), ssl.create_default_context())
        for _ in range(FLIPS):
            try:
                stream = await dialer.dial(target, Progress())
            except SendError as error:
                denials.append(error.kind)
            else:
                stream.close()
    assert next(look_ups) == FLIPS
    assert denials == [FailureKind.DENIED] * (FLIPS // 4)
    assert denied.accepted == 0
    assert set(connects) == {("127.0.0.1", allowed.port)}
    assert len(connects) == allowed.accepted == FLIPS - len(denials)
