"""Resolving host names by the operating system, in a bounded number of threads.

A look-up can't be interrupted: a name whose servers don't answer keeps its thread until the operating system gives up.
So the threads are shared by what is known of names: those that hang leave room for new ones, and both leave room for
those whose last look-up was quick.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import ip_address
from itertools import islice
from threading import Thread
from time import monotonic
from typing import Any, NamedTuple, TypeAlias

from chassis.denied_networks import Address
from chassis.single_flight import SingleFlight
from webhooks.sending.outcome import FailureKind, SendError

RESOLVE_SECONDS = 10.0
THREAD_SECONDS = 3.0
"""How long a name waits for a thread."""
SLOW_SECONDS = 1.0
"""A look-up that takes longer makes its name a slow one."""
MOST_ADDRESSES = 16
"""Of a name, in their order. Its owner could otherwise have thousands of hosts dialed that belong to others."""
MOST_REMEMBERED = 10_000
"""Names whose last look-up is remembered; beyond that the oldest is forgotten."""

Found: TypeAlias = Sequence[tuple[Any, Any, Any, Any, Any]]
LookUp: TypeAlias = Callable[..., Found]


class Threads(NamedTuple):
    """Bounds on the threads of a resolver."""

    total: int = 256
    unproven: int = 192
    """Most of them for names whose last look-up was slow, or that were never looked up."""
    slow: int = 64
    """Most of these for names whose last look-up was slow."""


DEFAULT_THREADS = Threads()


class Resolver:
    """Resolves names by `getaddrinfo`. A thread that outlives its caller never delays the exit of the process.

    A name has one look-up at a time: concurrent calls share it, and so does a call while an earlier one's hangs.
    """

    def __init__(self, look_up: LookUp = socket.getaddrinfo, threads: Threads = DEFAULT_THREADS) -> None:
        self._look_up = look_up
        self._all, self._unproven, self._slow = (asyncio.Semaphore(bound) for bound in threads)
        self._starts = SingleFlight(self._start, join_running=True)
        self._running: dict[str, asyncio.Future[Found | OSError]] = {}
        self._was_quick: dict[str, bool] = {}

    async def resolve(self, host: str) -> list[Address]:
        """Return the host's first addresses, each once, in the operating system's order of preference.

        Raises SendError.
        """
        look_up = self._running.get(host) or await self._starts.call(host)
        try:
            async with asyncio.timeout(RESOLVE_SECONDS):
                found = await asyncio.shield(look_up)
        except TimeoutError as error:
            raise _failure(host, f"no answer within {RESOLVE_SECONDS:.0f} s") from error
        if isinstance(found, OSError):
            raise _failure(host, found.strerror or "the look-up failed") from found
        if not (addresses := _addresses(found)):
            raise _failure(host, "it has no address")
        return addresses

    async def _start(self, host: str) -> asyncio.Future[Found | OSError]:
        """Start a look-up in a thread of its own, which frees its places when it ends."""
        places = await self._take_places(host)
        loop = asyncio.get_running_loop()
        future = self._running[host] = loop.create_future()

        def run() -> None:
            started = monotonic()
            result = self._call(host)
            is_quick = monotonic() - started < SLOW_SECONDS
            with suppress(RuntimeError):  # the loop was closed in the meantime
                loop.call_soon_threadsafe(self._finish, host, places, result, is_quick)

        try:
            Thread(target=run, name="resolver", daemon=True).start()
        except RuntimeError as error:  # the system has no more threads
            _release(places)
            del self._running[host]
            raise _busy() from error
        return future

    async def _take_places(self, host: str) -> list[asyncio.Semaphore]:
        """Return the taken places, those that fewer names share first. Raises SendError if there is none in time."""
        taken: list[asyncio.Semaphore] = []
        try:
            async with asyncio.timeout(THREAD_SECONDS):
                for places in self._bounds_of(host):
                    await places.acquire()
                    taken.append(places)
        except BaseException as error:
            _release(taken)
            if isinstance(error, TimeoutError):
                raise _busy() from error
            raise
        return taken

    def _bounds_of(self, host: str) -> list[asyncio.Semaphore]:
        match self._was_quick.get(host):
            case True:
                return [self._all]
            case False:
                return [self._slow, self._unproven, self._all]
            case None:
                return [self._unproven, self._all]

    def _call(self, host: str) -> Found | OSError:
        try:
            return self._look_up(host.encode("ascii"), None, type=socket.SOCK_STREAM)
        except OSError as error:
            return error

    def _finish(self, host: str, places: list[asyncio.Semaphore], result: Found | OSError, is_quick: bool) -> None:
        _release(places)
        self._was_quick.pop(host, None)
        self._was_quick[host] = is_quick
        if len(self._was_quick) > MOST_REMEMBERED:
            del self._was_quick[next(iter(self._was_quick))]
        self._running.pop(host).set_result(result)


def _release(places: list[asyncio.Semaphore]) -> None:
    for each in places:
        each.release()


def _addresses(found: Found) -> list[Address]:
    """Return the first addresses of a look-up; an IPv6 address keeps its zone."""
    texts = []
    for family, _, _, _, (address, *rest) in found:
        zone = rest[2] if family == socket.AF_INET6 and "%" not in address else 0
        texts.append(f"{address}%{zone}" if zone else address)
    return list(map(ip_address, islice(dict.fromkeys(texts), MOST_ADDRESSES)))


def _busy() -> SendError:
    return SendError(FailureKind.BUSY, "Too many names are being resolved.")


def _failure(host: str, why: str) -> SendError:
    return SendError(FailureKind.DNS, f"The name {host} can't be resolved: {why}.")
