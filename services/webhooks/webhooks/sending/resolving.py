"""Resolving host names by the operating system, in a bounded number of threads."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import ip_address
from threading import Thread
from typing import Any, TypeAlias

from chassis.denied_networks import Address
from chassis.single_flight import SingleFlight
from webhooks.sending.outcome import FailureKind, SendError

RESOLVE_SECONDS = 10.0
THREADS = 64

Found: TypeAlias = Sequence[tuple[Any, Any, Any, Any, Any]]
LookUp: TypeAlias = Callable[..., Found]


class Resolver:
    """Resolves names by `getaddrinfo`, which can't be interrupted.

    A thread that outlives its caller keeps its place until the operating system gives up, and never delays the exit of
    the process. Concurrent calls for one host share a look-up.
    """

    def __init__(self, look_up: LookUp = socket.getaddrinfo, threads: int = THREADS) -> None:
        self._look_up = look_up
        self._places = asyncio.Semaphore(threads)
        self._flights = SingleFlight(self._resolve, join_running=True)

    async def resolve(self, host: str) -> list[Address]:
        """Return the host's addresses, each once, in the operating system's order of preference. Raises SendError."""
        return await self._flights.call(host)

    async def _resolve(self, host: str) -> list[Address]:
        await self._take_place()
        try:
            async with asyncio.timeout(RESOLVE_SECONDS):
                found = await self._start(host)
        except TimeoutError as error:
            raise _failure(host, f"no answer within {RESOLVE_SECONDS:.0f} s") from error
        except OSError as error:
            raise _failure(host, error.strerror or "the look-up failed") from error
        if not (addresses := _addresses(found)):
            raise _failure(host, "it has no address")
        return addresses

    async def _take_place(self) -> None:
        try:
            async with asyncio.timeout(RESOLVE_SECONDS):
                await self._places.acquire()
        except TimeoutError as error:
            raise SendError(FailureKind.BUSY, "Too many names are being resolved.") from error

    def _start(self, host: str) -> asyncio.Future[Found]:
        """Start a look-up in a thread of its own, which frees its place when it ends."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Found] = loop.create_future()

        def run() -> None:
            result = self._call(host)
            with suppress(RuntimeError):  # the loop was closed in the meantime
                loop.call_soon_threadsafe(self._finish, future, result)

        Thread(target=run, name="resolver", daemon=True).start()
        return future

    def _call(self, host: str) -> Found | OSError:
        try:
            return self._look_up(host.encode("ascii"), None, type=socket.SOCK_STREAM)
        except OSError as error:
            return error

    def _finish(self, future: asyncio.Future[Found], result: Found | OSError) -> None:
        self._places.release()
        if future.done():
            return
        if isinstance(result, OSError):
            future.set_exception(result)
        else:
            future.set_result(result)


def _addresses(found: Found) -> list[Address]:
    """Return the addresses of a look-up; an IPv6 address keeps its zone."""
    texts = []
    for family, _, _, _, (address, *rest) in found:
        zone = rest[2] if family == socket.AF_INET6 and "%" not in address else 0
        texts.append(f"{address}%{zone}" if zone else address)
    return list(map(ip_address, dict.fromkeys(texts)))


def _failure(host: str, why: str) -> SendError:
    return SendError(FailureKind.DNS, f"The name {host} can't be resolved: {why}.")
