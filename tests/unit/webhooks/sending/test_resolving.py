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
from webhooks.sending.resolving import Resolver, Threads

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


class Hanging:
    """A look-up of which some names hang until they are released, which takes long by the resolver's clock."""

    def __init__(self, release: Event) -> None:
        self.hangs = True
        self.started: list[str] = []
        self.now = 0.0
        self._release = release

    def __call__(self, host: bytes, *arguments: Any, **options: Any) -> Any:
        self.started.append(host.decode())
        if self.hangs and host.startswith(b"hangs"):
            self._release.wait(30)
            self.now += 5
        return found("192.0.2.1")


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch, release: Event) -> Hanging:
    """Return such a look-up."""
    hanging = Hanging(release)
    monkeypatch.setattr("webhooks.sending.resolving.monotonic", lambda: hanging.now)
    return hanging


async def failures(resolver: Resolver, *hosts: str) -> list[FailureKind]:
    """Return the kinds of failure of names that nobody waits for in earnest."""
    with pytest.MonkeyPatch.context() as patch:
        for bound in ("RESOLVE_SECONDS", "THREAD_SECONDS"):
            patch.setattr(f"webhooks.sending.resolving.{bound}", 0.1)
        return [error.kind for error in await asyncio.gather(*(failure(resolver.resolve(host)) for host in hosts))]


async def make_slow(resolver: Resolver, hanging: Hanging, release: Event, *hosts: str) -> None:
    """Let the look-ups of these names hang once, and end."""
    assert await failures(resolver, *hosts) == [FailureKind.DNS] * len(hosts)
    look_ups = [asyncio.create_task(resolver.resolve(host)) for host in hosts]
    await asyncio.sleep(0)  # they join the look-ups that hang
    release.set()
    await asyncio.gather(*look_ups)
    release.clear()
    hanging.started.clear()


async def test_threads_are_bounded(hanging: Hanging, release: Event) -> None:
    """A look-up beyond the bound does not start; one that hangs keeps its thread until the system gives up."""
    resolver = Resolver(hanging, threads=Threads(total=9, unproven=2, slow=1))
    kinds = await failures(resolver, *(f"hangs-{letter}.example" for letter in "abcd"))
    assert kinds == [FailureKind.DNS, FailureKind.DNS, FailureKind.BUSY, FailureKind.BUSY]
    assert await failures(resolver, "e.example") == [FailureKind.BUSY]
    assert hanging.started == ["hangs-a.example", "hangs-b.example"]
    release.set()
    assert await resolver.resolve("f.example") == [ip_address("192.0.2.1")]


async def test_names_that_hang_leave_threads_to_those_that_were_quick(hanging: Hanging) -> None:
    """A name that was resolved before is resolved although new names hang in all of their threads."""
    resolver = Resolver(hanging, threads=Threads(total=3, unproven=2, slow=1))
    await resolver.resolve("quick.example")
    assert len(await failures(resolver, "hangs-a.example", "hangs-b.example", "hangs-c.example")) == 3
    assert await failures(resolver, "new.example") == [FailureKind.BUSY]
    for _ in range(3):
        assert await resolver.resolve("quick.example") == [ip_address("192.0.2.1")]


async def test_names_that_were_slow_leave_threads_to_new_ones(hanging: Hanging, release: Event) -> None:
    """Slow names share few threads among themselves."""
    resolver = Resolver(hanging, threads=Threads(total=3, unproven=2, slow=1))
    slow = ("hangs-a.example", "hangs-b.example")
    await make_slow(resolver, hanging, release, *slow)
    assert await failures(resolver, *slow) == [FailureKind.DNS, FailureKind.BUSY]
    assert await resolver.resolve("new.example") == [ip_address("192.0.2.1")]
    assert hanging.started == ["hangs-a.example", "new.example"]


async def test_a_name_that_is_quick_again_is_trusted_again(hanging: Hanging, release: Event) -> None:
    """The last look-up counts."""
    resolver = Resolver(hanging, threads=Threads(total=2, unproven=1, slow=1))
    await make_slow(resolver, hanging, release, "hangs-a.example")
    hanging.hangs = False
    await resolver.resolve("hangs-a.example")
    hanging.hangs = True
    assert await failures(resolver, "hangs-b.example") == [FailureKind.DNS]
    hanging.hangs = False
    assert await resolver.resolve("hangs-a.example") == [ip_address("192.0.2.1")]


async def test_a_look_up_that_hangs_is_not_started_twice(hanging: Hanging, release: Event) -> None:
    """Later calls for its name wait for it, each for a bounded time."""
    resolver = Resolver(hanging)
    for _ in range(3):
        assert await failures(resolver, "hangs.example") == [FailureKind.DNS]
    waiting = asyncio.create_task(resolver.resolve("hangs.example"))
    await asyncio.sleep(0)
    release.set()
    assert await waiting == [ip_address("192.0.2.1")]
    assert hanging.started == ["hangs.example"]


async def test_a_system_without_threads_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The place of a thread that did not start is free again."""
    resolver = Resolver(lambda *arguments, **options: found("192.0.2.1"), threads=Threads(total=1, unproven=1, slow=1))
    with monkeypatch.context() as patch:
        patch.setattr("webhooks.sending.resolving.Thread", _no_thread)
        assert (await failure(resolver.resolve("a.example"))).kind is FailureKind.BUSY
    assert await resolver.resolve("a.example") == [ip_address("192.0.2.1")]


def _no_thread(**options: Any) -> Any:
    raise RuntimeError("can't start new thread")


async def test_what_is_remembered_of_names_is_bounded(monkeypatch: pytest.MonkeyPatch, hanging: Hanging) -> None:
    """The name whose look-up is the longest ago is forgotten, and counts as a new one."""
    monkeypatch.setattr("webhooks.sending.resolving.MOST_REMEMBERED", 2)
    resolver = Resolver(hanging, threads=Threads(total=2, unproven=1, slow=1))
    for name in "abc":
        await resolver.resolve(f"{name}.example")
    await failures(resolver, "hangs.example")
    assert await failures(resolver, "a.example") == [FailureKind.BUSY]
    assert await resolver.resolve("c.example") == [ip_address("192.0.2.1")]


def test_a_hanging_look_up_does_not_delay_the_exit() -> None:
    """A process ends although a look-up hangs."""
    ended = subprocess.run(
        [sys.executable, "-c", HANGING_PROCESS], capture_output=True, text=True, timeout=30, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "gave up\n"), ended.stderr
