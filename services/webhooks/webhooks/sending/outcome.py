"""The outcome of sending: a receiver's response, or the reason why there is none."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeAlias

import msgspec


class FailureKind(StrEnum):
    """Why there is no response."""

    BUSY = "busy"
    """A bound of the sender is reached. Nothing was sent, and the receiver is not to blame."""
    DNS = "dns"
    DENIED = "denied"
    """The host has no address that a webhook may reach, or the operator's proxy says so. Nothing was sent."""
    PROXY = "proxy"
    """The operator's proxy can't be used at all. Nothing was sent, and the receiver is not to blame."""
    CONNECT = "connect"
    TLS = "tls"
    TIMEOUT = "timeout"
    RESET = "reset"
    """The receiver closed the connection before its response was complete."""
    PROTOCOL = "protocol"
    """The response, or a header of the request, is not valid HTTP/1.1."""


class Timings(msgspec.Struct):
    """Durations in seconds; None for what was not done, as on a connection that is used again."""

    dns: float | None = None
    connect: float | None = None
    """Through a proxy: until the proxy has connected."""
    tls: float | None = None
    first_byte: float | None = None
    """From the beginning of the request to the first byte of the response."""
    total: float = 0.0


class Response(msgspec.Struct, frozen=True):
    """A receiver's response, a redirect too."""

    status: int
    headers: Mapping[str, str]
    """Those of KEPT_HEADERS that the response has."""
    body: bytes
    """The first 16 kB, as they were received."""
    truncated: bool
    """Whether the body goes on beyond the bytes kept."""
    timings: Timings


class Failure(msgspec.Struct, frozen=True):
    """The end of an attempt without a response."""

    kind: FailureKind
    sentence: str
    """For the tenant: names the host, never an address that its name leads to, and nothing that was received."""
    timings: Timings


Outcome: TypeAlias = Response | Failure


class SendError(Exception):
    """No response: raised inside this package, returned as a Failure."""

    def __init__(self, kind: FailureKind, sentence: str) -> None:
        super().__init__(sentence)
        self.kind = kind
        self.sentence = sentence


class Progress:
    """What an attempt has come to, so that a failure can say so at any moment."""

    def __init__(self) -> None:
        self.timings = Timings()
        self.stage = "its name was being resolved"
