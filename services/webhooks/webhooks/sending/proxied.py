"""The way to a receiver through the operator's proxy, which resolves names and checks addresses.

Tenants read the sentences of failures, so none names the proxy.
"""

import asyncio
import socket
from ipaddress import ip_address
from time import monotonic

import h11
import structlog

from chassis.denied_networks import Address
from chassis.targets import Policy, Target
from webhooks.egress import Proxy
from webhooks.sending.direct import allowed
from webhooks.sending.outcome import FailureKind, Progress, SendError
from webhooks.sending.resolving import Resolver
from webhooks.sending.sockets import ConnectError, connect

log = structlog.get_logger()

MAX_HEAD = 16 * 1024
"""Bytes of the longest answer to CONNECT."""
COMPLAINT_SECONDS = 60.0
"""Between two log lines about a proxy that can't be used."""


class Proxied:
    """Connects by CONNECT, for http too. Only addresses in URLs are judged here."""

    def __init__(self, policy: Policy, resolver: Resolver, proxy: Proxy) -> None:
        self._policy = policy
        self._resolver = resolver
        self._proxy = proxy
        self._silent_until = 0.0

    async def connect(self, target: Target, progress: Progress) -> socket.socket:
        """Return a socket on which the proxy passes bytes to and from the target's host. Raises SendError."""
        if target.address is not None:
            allowed(self._policy, target.host, [target.address])
        progress.stage = "the operator's proxy was opening the connection"
        started = monotonic()
        sock = await self._reach_proxy()
        try:
            await self._open_tunnel(sock, target)
        except BaseException:
            sock.close()
            raise
        progress.timings.connect = monotonic() - started
        return sock

    async def _reach_proxy(self) -> socket.socket:
        try:
            return await connect(await self._addresses(), self._proxy.port)
        except ConnectError as error:
            raise self._unusable("can't be reached", str(error)) from error

    async def _addresses(self) -> list[Address]:
        try:
            return [ip_address(self._proxy.host)]
        except ValueError:
            pass
        try:
            return await self._resolver.resolve(self._proxy.host)
        except SendError as error:
            if error.kind is FailureKind.BUSY:
                raise
            raise self._unusable("can't be reached", error.sentence) from error

    async def _open_tunnel(self, sock: socket.socket, target: Target) -> None:
        http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        try:
            await self._ask(sock, http, target)
            status = (await _answer(sock, http)).status_code
        except (OSError, h11.RemoteProtocolError) as error:
            raise _no_tunnel(target, "it closed the connection, or its answer is not valid") from error
        if status == 407:
            raise self._unusable("refuses the service's credentials", "it answered 407")
        if status == 403:
            raise SendError(
                FailureKind.DENIED,
                f"The operator's proxy does not allow connections to {target.host}, port {target.port}.",
            )
        if not 200 <= status < 300:
            raise _no_tunnel(target, f"it answered {status}")
        if http.trailing_data[0]:
            raise _no_tunnel(target, "it sent bytes ahead of the receiver")

    async def _ask(self, sock: socket.socket, http: h11.Connection, target: Target) -> None:
        headers = [("host", target.host_and_port), ("user-agent", "Darkroom")]
        if self._proxy.authorization is not None:
            headers.append(("proxy-authorization", self._proxy.authorization))
        data = http.send(h11.Request(method="CONNECT", target=target.host_and_port, headers=headers))
        http.send(h11.EndOfMessage())
        await asyncio.get_running_loop().sock_sendall(sock, data)

    def _unusable(self, what: str, why: str) -> SendError:
        """Return the failure that is the operator's to mend, and log it for the operator, once in a while."""
        if monotonic() >= self._silent_until:
            self._silent_until = monotonic() + COMPLAINT_SECONDS
            log.error(f"egress proxy {what}; no webhook is sent", proxy=self._proxy.address, reason=why)
        return SendError(FailureKind.PROXY, f"The operator's proxy {what}; nothing was sent.")


async def _answer(sock: socket.socket, http: h11.Connection) -> h11.Response:
    """Return the final answer to CONNECT, before its body if it has one. Raises OSError and RemoteProtocolError."""
    loop = asyncio.get_running_loop()
    while not isinstance(event := http.next_event(), h11.Response):
        if event is h11.NEED_DATA:
            http.receive_data(await loop.sock_recv(sock, MAX_HEAD))
    return event


def _no_tunnel(target: Target, why: str) -> SendError:
    return SendError(
        FailureKind.CONNECT, f"The operator's proxy opened no connection to {target.host}, port {target.port}: {why}."
    )
