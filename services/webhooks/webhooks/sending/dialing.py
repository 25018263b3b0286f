"""Opening a connection to a receiver, over TLS for https."""

import socket
import ssl
from time import monotonic
from typing import Protocol

from chassis.targets import Target
from webhooks.sending.outcome import FailureKind, Progress, SendError
from webhooks.sending.stream import Stream


class Way(Protocol):
    """How receivers are reached: directly, or through a proxy."""

    async def connect(self, target: Target, progress: Progress) -> socket.socket:
        """Return a socket whose other end is the target's host, if it is allowed. Raises SendError."""
        ...


class Dialer:
    """Opens connections in one way, and verifies the certificates of receivers."""

    def __init__(self, way: Way, ssl_context: ssl.SSLContext) -> None:
        self._way = way
        self._ssl_context = ssl_context

    async def dial(self, target: Target, progress: Progress) -> Stream:
        """Open a connection, over TLS for https. Raises SendError."""
        sock = await self._way.connect(target, progress)
        if target.scheme == "http":
            return await Stream.open(sock)
        return await self._secure(sock, target, progress)

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
