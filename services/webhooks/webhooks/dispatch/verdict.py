"""What an attempt's outcome means: for its delivery, for the receiver's origin, and for the tenant's use of it."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import msgspec

from chassis.text import storable
from darkroom_contracts.states import DeliveryOutcome, DeliveryStatus
from webhooks.dispatch.records import Completion, Delivery
from webhooks.dispatch.schedule import pause_after
from webhooks.sending.outcome import FailureKind, Outcome, Response, Timings

SLOWING = {
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}
"""Answers by which a receiver asks for less."""
LONGEST_RETRY_AFTER = 24 * 3600.0
BUSY_PAUSE = 0.5
"""Seconds until a delivery that was not sent, because of the sender's own bounds, is due again."""
MENDING_PAUSE = 60.0
"""The same where an operator must do something first."""


class Verdict(msgspec.Struct, frozen=True):
    """The meaning of an outcome."""

    completion: Completion
    works: bool | None
    """Whether the receiver works; None if the outcome says nothing about it."""
    slows: bool = False
    """Whether the whole origin is to receive less for a while."""
    retry_after: float = 0.0
    """Seconds that the receiver asked to wait."""
    got_out: bool | None = None
    """Whether this process can send at all; None if the outcome says nothing about it."""


def judge(delivery: Delivery, outcome: Outcome) -> Verdict:
    """Return what an outcome means. Only 2xx is success; 410 ends the delivery."""
    if isinstance(outcome, Response):
        return _judge_response(delivery, outcome)
    if outcome.kind is FailureKind.BUSY:
        return Verdict(_released(delivery, outcome.timings, outcome.sentence, BUSY_PAUSE), works=None)
    if outcome.kind is FailureKind.PROXY:
        released = _released(delivery, outcome.timings, outcome.sentence, MENDING_PAUSE)
        return Verdict(released, works=None, got_out=False)
    return Verdict(_failed(delivery, outcome.timings, outcome.sentence), works=False)


def unsignable(delivery: Delivery) -> Verdict:
    """Return the meaning of a delivery that can't be signed: the operator's mistake, and no failure of the receiver."""
    sentence = "The service lacks a key that the endpoint needs; nothing was sent."
    return Verdict(_released(delivery, Timings(), sentence, MENDING_PAUSE), works=None)


def _judge_response(delivery: Delivery, response: Response) -> Verdict:
    if 200 <= response.status < 300:
        return Verdict(_succeeded(delivery, response), works=True, got_out=True)
    if response.status == HTTPStatus.GONE:
        return Verdict(_gone(delivery, response), works=True, got_out=True)
    wait = retry_after(response)
    sentence = f"The receiver answered {response.status}."
    completion = _failed(delivery, response.timings, sentence, response, at_least=wait)
    slows = response.status in SLOWING or wait > 0
    works = response.status < 500 and not slows
    return Verdict(completion, works, slows, wait, got_out=True)


def retry_after(response: Response) -> float:
    """Return the seconds of a Retry-After header, a number or a date (RFC 9110, 10.2.3), or 0."""
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), LONGEST_RETRY_AFTER)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return 0.0
    if moment.tzinfo is None:  # it names no zone, and HTTP has no other than GMT
        moment = moment.replace(tzinfo=UTC)
    return min(max((moment - datetime.now(UTC)).total_seconds(), 0.0), LONGEST_RETRY_AFTER)


def _succeeded(delivery: Delivery, response: Response) -> Completion:
    return _completion(
        delivery, DeliveryOutcome.SUCCEEDED, DeliveryStatus.SUCCEEDED, response.timings, response=response
    )


def _gone(delivery: Delivery, response: Response) -> Completion:
    sentence = "The receiver answered 410 (Gone), which ends the delivery."
    return _completion(
        delivery,
        DeliveryOutcome.FAILED,
        DeliveryStatus.FAILED,
        response.timings,
        error=sentence,
        response=response,
        gone=True,
    )


def _released(delivery: Delivery, timings: Timings, sentence: str, pause: float) -> Completion:
    return _completion(delivery, DeliveryOutcome.RELEASED, DeliveryStatus.PENDING, timings, pause=pause, error=sentence)


def _failed(
    delivery: Delivery, timings: Timings, sentence: str, response: Response | None = None, at_least: float = 0
) -> Completion:
    pause = pause_after(delivery.failures + 1)
    status = DeliveryStatus.FAILED if pause is None else DeliveryStatus.PENDING
    later = None if pause is None else max(pause, at_least)
    return _completion(
        delivery, DeliveryOutcome.FAILED, status, timings, pause=later, error=sentence, response=response
    )


def _completion(
    delivery: Delivery,
    outcome: DeliveryOutcome,
    status: DeliveryStatus,
    timings: Timings,
    *,
    pause: float | None = None,
    error: str | None = None,
    response: Response | None = None,
    gone: bool = False,
) -> Completion:
    return Completion(
        id=delivery.id,
        endpoint=delivery.endpoint,
        number=delivery.number,
        token=delivery.token,
        outcome=outcome,
        status=status,
        pause=pause,
        gone=gone,
        status_code=response.status if response else None,
        dns_ms=_milliseconds(timings.dns),
        connect_ms=_milliseconds(timings.connect),
        tls_ms=_milliseconds(timings.tls),
        first_byte_ms=_milliseconds(timings.first_byte),
        total_ms=_milliseconds(timings.total),
        error=storable(error) if error else None,
        response=response.body if response and outcome is DeliveryOutcome.FAILED else None,  # no letter shows others
    )


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000
