"""Resolving names, in a bounded number of threads that nobody waits for."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Awaitable, Iterator
from ipaddress import ip_address
from threading import Event
from typing import Any

import pytest

from tests.support.webhook_receivers import found
from webhooks.sending.outcome import FailureKind, SendError
from webhooks.sending.resolving import Resolver

HANGING_PROCESS = """
import asyncio, time
from webhooks.sending.resolving import Resolver

async def main():
    resolver = Resolver(lambda *arguments, **options: time.sleep(600))
    try:
        await asyncio.wait_for(resolver.resolve("a.example"), 0.1)
    except TimeoutError:
        print("gave up")

asyncio.run(main())
"""


@pytest.fixture
def release() -> Iterator[Event]:
    """Yield an event that look-ups wait for; it is set at the end, so that no thread is left."""
    event = Event()
    yield event
    event.set()


async def failure(resolving: Awaitable[object]) -> SendError:
    with pytest.raises(SendError) as raised:
        await resolving
    return raised.value


async def test_addresses_come_once_and_in_order() -> None:
    """Doubles are left out, and an IPv6 address keeps its zone."""
    answer = [*found("192.0.2.1", "192.0.2.1", "2001:db8::1"), (socket.AF_INET6, 0, 0, "", ("fe80::1", 0, 0, 3))]
    addresses = await Resolver(lambda *arguments, **options: answer).resolve("a.example")
    assert addresses == list(map(ip_address, ("192.0.2.1", "2001:db8::1", "fe80::1%3")))


async def test_the_operating_system_is_asked_by_default() -> None:
    """localhost is a name that every system has."""
    assert ip_address("127.0.0.1") in await Resolver().resolve("localhost")


async def test_a_name_that_does_not_exist_is_a_failure() -> None:
    """The sentence names the host and the system's reason."""

    def fail(*arguments: Any, **options: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    error = await failure(Resolver(fail).resolve("a.example"))
    assert error.kind is FailureKind.DNS
    assert error.sentence == "The name a.example can't be resolved: Name or service not known."


async def test_a_name_without_an_address_is_a_failure() -> None:
    """An empty answer leads nowhere."""
    error = await failure(Resolver(lambda *arguments, **options: []).resolve("a.example"))
    assert (error.kind, "has no address" in error.sentence) == (FailureKind.DNS, True)


async def test_threads_are_bounded(monkeypatch: pytest.MonkeyPatch, release: Event) -> None:
    """A look-up beyond the bound does not start; one that hangs keeps its thread until the system gives up."""
    monkeypatch.setattr("webhooks.sending.resolving.RESOLVE_SECONDS", 0.1)
    started = []

    def hang(host: bytes, *arguments: Any, **options: Any) -> Any:
        started.append(host)
        release.wait(30)
        return found("192.0.2.1")

    resolver = Resolver(hang, threads=2)
    hosts = [f"{letter}.example" for letter in "abcd"]
    errors = await asyncio.gather(*(failure(resolver.resolve(host)) for host in hosts))
    assert [error.kind for error in errors] == [FailureKind.DNS, FailureKind.DNS, FailureKind.BUSY, FailureKind.BUSY]
    assert (await failure(resolver.resolve("e.example"))).kind is FailureKind.BUSY
    assert started == [b"a.example", b"b.example"]
    release.set()
    assert await resolver.resolve("f.example") == [ip_address("192.0.2.1")]


def test_a_hanging_look_up_does_not_delay_the_exit() -> None:
    """A process ends although a look-up hangs."""
    ended = subprocess.run(
        [sys.executable, "-c", HANGING_PROCESS], capture_output=True, text=True, timeout=30, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "gave up\n"), ended.stderr
