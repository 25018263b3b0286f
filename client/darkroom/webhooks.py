"""Verify webhooks, and read their events.

    from darkroom import webhooks

    event = webhooks.unwrap(request.headers, request.body, "whsec_...")
    if isinstance(event, webhooks.JobEvent):
        print(event.data.id, event.data.status)

Signatures follow Standard Webhooks 1.0.0.
"""

import re
import time
from collections.abc import Iterable
from datetime import timedelta
from typing import Protocol, TypeVar

import msgspec

from darkroom.errors import DarkroomError
from darkroom_contracts.webhooks import WebhookEvent, payload
from darkroom_contracts.webhooks.signing import (
    ID_HEADER,
    PUBLIC_KEY_PREFIX,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    TOLERANCE_SECONDS,
    is_recent,
    verify,
)

T = TypeVar("T")
TOLERANCE = timedelta(seconds=TOLERANCE_SECONDS)
_JOB_EVENTS = frozenset(WebhookEvent)
_TIMESTAMP = re.compile(r"[0-9]{1,12}")


class WebhookError(DarkroomError):
    """The request is not a delivery that can be trusted and read."""


class MissingHeaderError(WebhookError):
    """A header of Standard Webhooks is missing, or its timestamp is not a number."""


class TimestampError(WebhookError):
    """The attempt was signed too long ago, or lies in the future: a replayed request, or a clock that is wrong."""


class SignatureError(WebhookError):
    """No signature is by this secret: another secret, a forged request, or a body that was changed."""


class UndecodableEventError(WebhookError):
    """The signature is valid, but the body is not an event of a compatible version."""


class JobEvent(payload.JobEvent, frozen=True, kw_only=True):
    """A change of state of a job, `data`."""

    id: str
    """`webhook-id`: the same in every attempt, so that a receiver can recognize an event that it has handled."""


class Event(payload.Event, frozen=True, kw_only=True):
    """An event of a type that this version of the client does not have."""

    id: str
    """`webhook-id`: the same in every attempt."""


class Headers(Protocol):
    """A mapping of headers, as every framework has one. The case of names does not matter."""

    def items(self) -> Iterable[tuple[str, str]]: ...


def unwrap(headers: Headers, body: bytes | str, secret: str, *, tolerance: timedelta = TOLERANCE) -> JobEvent | Event:
    """Return the event of a request, once its signature and its age are verified.

    `body` is the request's body as it was received, before any parsing; text, as some platforms have it, is taken as
    UTF-8. `secret` is the endpoint's secret, `whsec_...`, or its public key, `whpk_...`, which needs the extra
    `darkroom-client[ed25519]`. Raises WebhookError, and ValueError for a malformed secret.
    """
    body = body.encode(errors="surrogatepass") if isinstance(body, str) else body
    found = {name.lower(): value for name, value in headers.items()}
    delivery_id, signatures = _header(found, ID_HEADER), _header(found, SIGNATURE_HEADER)
    timestamp = _timestamp(_header(found, TIMESTAMP_HEADER))
    if not is_recent(timestamp, time.time(), tolerance.total_seconds()):
        raise TimestampError(f"The webhook was signed {_age(timestamp)}; check the clock, or drop the request.")
    if not _matches(secret, delivery_id, timestamp, body, signatures):
        raise SignatureError("No signature is valid; check the secret, and verify the body before it is parsed.")
    return read(delivery_id, body)


def check_secret(secret: str) -> None:
    """Raise ValueError for a malformed secret or public key, and ImportError where the extra is missing for it."""
    _matches(secret, "", 0, b"", "")


def read(delivery_id: str, body: bytes) -> JobEvent | Event:
    """Return the event of a body *without verifying it*. Raises UndecodableEventError."""
    if _decode(body, _Type).type in _JOB_EVENTS:
        return JobEvent(id=delivery_id, **msgspec.structs.asdict(_decode(body, payload.JobEvent)))
    return Event(id=delivery_id, **msgspec.structs.asdict(_decode(body, payload.Event)))


class _Type(msgspec.Struct):
    type: str


def _header(headers: dict[str, str], name: str) -> str:
    value = headers.get(name)
    if not value:
        raise MissingHeaderError(f"The header {name} is missing; the request is not a webhook of Darkroom.")
    return value


def _timestamp(text: str) -> int:
    if not _TIMESTAMP.fullmatch(text):
        raise MissingHeaderError(f"The header {TIMESTAMP_HEADER} is not a Unix time; the request is not a webhook.")
    return int(text)


def _age(timestamp: int) -> str:
    seconds = time.time() - timestamp
    return f"{seconds:.0f} s ago" if seconds >= 0 else f"{-seconds:.0f} s in the future"


def _matches(secret: str, delivery_id: str, timestamp: int, body: bytes, signatures: str) -> bool:
    if not secret.startswith(PUBLIC_KEY_PREFIX):
        return verify(secret, delivery_id, timestamp, body, signatures)
    try:
        from darkroom import ed25519
    except ModuleNotFoundError as error:
        raise ImportError("A public key needs the extra: run `pip install 'darkroom-client[ed25519]'`.") from error
    return ed25519.verify(secret, delivery_id, timestamp, body, signatures)


def _decode(body: bytes, expected: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=expected)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UndecodableEventError(f"Unexpected body ({error}); update darkroom-client.") from error
