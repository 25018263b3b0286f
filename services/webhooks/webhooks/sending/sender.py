"""Sending a POST to a receiver and returning what came of it, whatever the receiver does."""

import asyncio
import ssl
from collections.abc import Mapping
from time import monotonic
from types import TracebackType
from typing import Self

import httpcore2

from chassis.targets import Policy, Target
from webhooks.egress import Proxy
from webhooks.sending.connection import Connection
from webhooks.sending.dialing import Dialer, Way
from webhooks.sending.direct import Direct
from webhooks.sending.outcome import Failure, FailureKind, Outcome, Progress, Response, SendError
from webhooks.sending.pool import Limits, Pool
from webhooks.sending.proxied import Proxied
from webhooks.sending.request import build_request
from webhooks.sending.resolving import Resolver

SECONDS = 15.0
"""The time that a receiver has, from the resolution of its name to the end of its response."""


class Sender:
    """Sends requests over connections that are kept for the next ones.

    Redirects are not followed, compressed bodies are not decompressed, and no proxy is used but the one that is given,
    whatever the environment says. Certificates are verified against those of the operating system.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        proxy: Proxy | None = None,
        limits: Limits | None = None,
        resolver: Resolver | None = None,
        ssl_context: ssl.SSLContext | None = None,
        seconds: float = SECONDS,
    ) -> None:
        context = ssl_context or httpcore2.default_ssl_context()
        context.set_alpn_protocols(["http/1.1"])
        self._dialer = Dialer(_way(policy, resolver or Resolver(), proxy), context)
        self._pool = Pool(limits or Limits())
        self._seconds = seconds

    async def send(self, target: Target, headers: Mapping[str, str], body: bytes) -> Outcome:
        """Return the response, or the failure. Nothing that a receiver does is raised."""
        progress = Progress()
        started = monotonic()
        try:
            request = build_request(target, headers, body)
            with self._pool.place(target.origin):
                async with asyncio.timeout(self._seconds):
                    return await self._exchange(target, request, progress)
        except SendError as error:
            return Failure(error.kind, error.sentence, progress.timings)
        except TimeoutError:
            sentence = f"{target.host} took longer than {self._seconds:g} s; at the end {progress.stage}."
            return Failure(FailureKind.TIMEOUT, sentence, progress.timings)
        finally:
            progress.timings.total = monotonic() - started

    async def _exchange(self, target: Target, request: httpcore2.Request, progress: Progress) -> Response:
        idle = self._pool.take(target.origin)
        if idle is not None:
            try:
                return await self._exchange_on(idle, request, progress)
            except SendError as error:
                # The receiver may have closed its end just now. A delivery may arrive twice, so it is sent again.
                if error.kind is not FailureKind.RESET or idle.has_begun_to_answer:
                    raise
        fresh = Connection(target, await self._dialer.dial(target, progress))
        return await self._exchange_on(fresh, request, progress)

    async def _exchange_on(self, connection: Connection, request: httpcore2.Request, progress: Progress) -> Response:
        try:
            return await connection.exchange(request, progress)
        finally:
            self._pool.give_back(connection)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._pool.close()


def _way(policy: Policy, resolver: Resolver, proxy: Proxy | None) -> Way:
    return Direct(policy, resolver) if proxy is None else Proxied(policy, resolver, proxy)
