"""Idle connections, kept for the next request to their origin, and the bounds on those in use."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from webhooks.sending.connection import Connection
from webhooks.sending.outcome import FailureKind, SendError

MAX_AGE_SECONDS = 300.0
"""The longest life of a connection, so that a changed address is noticed although requests never pause."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of a sender."""

    per_origin: int = 64
    """Most requests in flight to one origin."""
    total: int = 2_048
    """Most requests in flight."""
    idle: int = 128
    """Most idle connections; the one that is idle for longest is closed for another."""
    idle_seconds: float = 15.0
    """How long a connection stays idle before it is closed."""


class Pool:
    """Lends connections. Nothing waits here: the caller bounds what it has in flight, and these bounds are a backstop.

    Every operation takes constant time, however many requests are in flight.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._in_use: Counter[str] = Counter()
        self._total = 0
        self._idle: defaultdict[str, list[Connection]] = defaultdict(list)
        self._timers: dict[Connection, asyncio.TimerHandle] = {}
        """The idle connections, the longest idle first."""

    @contextmanager
    def place(self, origin: str) -> Iterator[None]:
        """Count a request in flight. Raises SendError at a bound."""
        if self._total >= self._limits.total or self._in_use[origin] >= self._limits.per_origin:
            raise SendError(FailureKind.BUSY, "Too many deliveries are in flight.")
        self._total += 1
        self._in_use[origin] += 1
        try:
            yield
        finally:
            self._total -= 1
            self._in_use[origin] -= 1
            if not self._in_use[origin]:
                del self._in_use[origin]

    def take(self, origin: str) -> Connection | None:
        """Return the connection to the origin that was used last, if one is idle and open."""
        while origin in self._idle:
            connection = self._idle[origin][-1]
            self._remove(connection)
            if connection.is_reusable:
                return connection
            connection.close()
        return None

    def give_back(self, connection: Connection) -> None:
        """Keep the connection for the next request, or close it."""
        if not connection.is_reusable or connection.age > MAX_AGE_SECONDS or not self._limits.idle:
            connection.close()
            return
        if len(self._timers) >= self._limits.idle:
            self._expire(next(iter(self._timers)))
        self._idle[connection.origin].append(connection)
        loop = asyncio.get_running_loop()
        self._timers[connection] = loop.call_later(self._limits.idle_seconds, self._expire, connection)

    def close(self) -> None:
        """Close the idle connections."""
        for connection in list(self._timers):
            self._expire(connection)

    def _expire(self, connection: Connection) -> None:
        self._remove(connection)
        connection.close()

    def _remove(self, connection: Connection) -> None:
        self._timers.pop(connection).cancel()
        of_origin = self._idle[connection.origin]
        of_origin.remove(connection)
        if not of_origin:
            del self._idle[connection.origin]
