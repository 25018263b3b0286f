"""Opening a connection to a receiver: resolve once, check every address, dial one that was checked."""

import asyncio
import os
import socket
import ssl
from collections.abc import Sequence
from ipaddress import IPv4Address
from time import monotonic

from chassis.denied_networks import Address
from chassis.targets import Policy, Target
from webhooks.sending.outcome import FailureKind, Progress, SendError
from webhooks.sending.resolving import Resolver
from webhooks.sending.stream import Stream

CONNECT_SECONDS = 5.0
"""Bounds each address, so that others of the host have their turn."""
RECEIVE_BUFFER = 32 * 1024
"""Bytes that the kernel holds for a connection: what a receiver may send before anybody reads it."""


class Dialer:
    """Opens connections to the addresses that the policy allows, and to no other."""

    def __init__(self, policy: Policy, resolver: Resolver, ssl_context: ssl.SSLContext) -> None:
        self._policy = policy
        self._resolver = resolver
        self._ssl_context = ssl_context

    async def dial(self, target: Target, progress: Progress) -> Stream:
        """Open a connection, over TLS for https. Raises SendError."""
        addresses = await self._resolve(target, progress)
        sock = await self._connect(target, addresses, progress)
        if target.scheme == "http":
            return await Stream.open(sock)
        return await self._secure(sock, target, progress)

    async def _resolve(self, target: Target, progress: Progress) -> list[Address]:
        """Return the addresses to dial, all of them allowed."""
        if target.address is not None:
            return self._allowed(target, [target.address])
        started = monotonic()
        found = await self._resolver.resolve(target.host)
        progress.timings.dns = monotonic() - started
        return self._allowed(target, found)

    def _allowed(self, target: Target, found: Sequence[Address]) -> list[Address]:
        refusals = {address: self._policy.refusal(target.host, address) for address in found}
        if allowed := [address for address, refusal in refusals.items() if refusal is None]:
            return allowed
        what = next(iter(refusals.values()))
        raise SendError(
            FailureKind.DENIED, f"{target.host} has no address that webhooks may reach: its address belongs to {what}."
        )

    async def _connect(self, target: Target, addresses: Sequence[Address], progress: Progress) -> socket.socket:
        progress.stage = "the connection was being opened"
        started = monotonic()
        why = ""
        for address in addresses:
            try:
                sock = await _connect(address, target.port)
            except TimeoutError:
                why = f"no answer within {CONNECT_SECONDS:.0f} s"
            except OSError as error:
                why = os.strerror(error.errno) if error.errno else "the connection failed"
            else:
                progress.timings.connect = monotonic() - started
                return sock
        raise SendError(FailureKind.CONNECT, f"No connection to {target.host}, port {target.port}: {why}.")

    async def _secure(self, sock: socket.socket, target: Target, progress: Progress) -> Stream:
        progress.stage = "the TLS handshake went on"
        started = monotonic()
        try:
            stream = await Stream.open(sock, self._ssl_context, target.host)
        except ssl.SSLCertVerificationError as error:
            raise SendError(
                FailureKind.TLS,
                f"The TLS certificate of {target.host} is not valid: {error.verify_message.rstrip('.')}.",
            ) from error
        except ssl.SSLError as error:
            why = (error.reason or "unknown error").replace("_", " ").lower()
            raise SendError(FailureKind.TLS, f"The TLS handshake with {target.host} failed: {why}.") from error
        except OSError as error:
            raise SendError(
                FailureKind.TLS, f"{target.host} closed the connection during the TLS handshake."
            ) from error
        progress.timings.tls = monotonic() - started
        return stream


async def _connect(address: Address, port: int) -> socket.socket:
    """Connect a socket to exactly this address. Raises OSError, TimeoutError among them."""
    family = socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        async with asyncio.timeout(CONNECT_SECONDS):
            await asyncio.get_running_loop().sock_connect(sock, (str(address), port))
    except BaseException:
        sock.close()
        raise
    return sock
