"""What a receiver's answer means."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from darkroom_contracts.states import DeliveryOutcome, DeliveryStatus
from tests.support.deliveries import delivery
from webhooks.dispatch.schedule import PAUSES
from webhooks.dispatch.verdict import LONGEST_RETRY_AFTER, judge, retry_after, unsignable
from webhooks.sending.outcome import Failure, FailureKind, Response, Timings

TIMINGS = Timings(dns=0.001, connect=0.002, tls=0.003, first_byte=0.25, total=0.5)


def response(status: int, body: bytes = b"", **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, named, body, truncated=False, timings=TIMINGS)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_2xx_alone_is_success(status: int) -> None:
    """The delivery is finished, and the attempt keeps status and timings, but no body, which nobody would see."""
    sent = delivery()
    verdict = judge(sent, response(status, b"thanks"))
    done = verdict.completion
    assert (done.outcome, done.status, done.pause) == (DeliveryOutcome.SUCCEEDED, DeliveryStatus.SUCCEEDED, None)
    assert (done.id, done.number, done.token) == (sent.id, sent.number, sent.token)
    assert (done.status_code, done.response, done.error) == (status, None, None)
    assert (done.dns_ms, done.connect_ms, done.tls_ms, done.first_byte_ms, done.total_ms) == (1, 2, 3, 250, 500)
    assert verdict.works


@pytest.mark.parametrize("status", [100, 199, 300, 301, 302, 304, 400, 401, 404, 409, 422, 500, 501])
def test_anything_else_is_tried_again(status: int) -> None:
    """Redirects too: they are not followed."""
    verdict = judge(delivery(), response(status))
    done = verdict.completion
    assert (done.outcome, done.status, done.gone) == (DeliveryOutcome.FAILED, DeliveryStatus.PENDING, False)
    assert done.pause == pytest.approx(PAUSES[0], rel=0.2)
    assert done.error == f"The receiver answered {status}."
    assert (verdict.works, verdict.slows) == (status < 500, False)


def test_410_ends_the_delivery() -> None:
    """It disables the endpoint, if that is a standing one."""
    verdict = judge(delivery(), response(410))
    done = verdict.completion
    assert (done.outcome, done.status, done.pause) == (DeliveryOutcome.FAILED, DeliveryStatus.FAILED, None)
    assert done.gone
    assert verdict.works


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_an_overloaded_receiver_slows_its_origin(status: int) -> None:
    """So does any failure with a Retry-After, which the delivery itself waits for."""
    assert judge(delivery(), response(status)).slows
    verdict = judge(delivery(), response(status, retry_after="120"))
    assert (verdict.slows, verdict.retry_after, verdict.completion.pause) == (True, 120, 120)
    assert judge(delivery(), response(400, retry_after="7")).slows


def test_retry_after_never_shortens_a_pause() -> None:
    """The schedule goes on."""
    verdict = judge(delivery(failures=1), response(503, retry_after="1"))
    assert verdict.completion.pause == pytest.approx(PAUSES[1], rel=0.2)


def test_the_tenth_failure_is_the_last() -> None:
    """The delivery is exhausted."""
    done = judge(delivery(failures=len(PAUSES) - 1), response(500)).completion
    assert done.status is DeliveryStatus.PENDING
    done = judge(delivery(failures=len(PAUSES)), response(500)).completion
    assert (done.outcome, done.status, done.pause) == (DeliveryOutcome.FAILED, DeliveryStatus.FAILED, None)


@pytest.mark.parametrize("kind", sorted(set(FailureKind) - {FailureKind.BUSY, FailureKind.PROXY}))
def test_no_answer_is_a_failure(kind: FailureKind) -> None:
    """The attempt keeps the sentence, storable, and how long it took."""
    verdict = judge(delivery(), Failure(kind, "It was\x00 reset.", TIMINGS))
    done = verdict.completion
    assert (done.outcome, done.status, done.status_code) == (DeliveryOutcome.FAILED, DeliveryStatus.PENDING, None)
    assert (done.error, done.total_ms) == ("It was\N{REPLACEMENT CHARACTER} reset.", 500)
    assert verdict.works is False


def test_what_an_operator_must_mend_does_not_count() -> None:
    """A proxy that is away concerns every receiver, a missing key its endpoint alone; both wait for a minute."""
    away = judge(delivery(failures=3), Failure(FailureKind.PROXY, "The proxy is away.", Timings()))
    lacking = unsignable(delivery(failures=3))
    for verdict in (away, lacking):
        done = verdict.completion
        assert (done.outcome, done.status, done.pause) == (DeliveryOutcome.RELEASED, DeliveryStatus.PENDING, 60)
        assert verdict.works is None
    assert (away.got_out, lacking.got_out, judge(delivery(), response(500)).got_out) == (False, None, True)


def test_what_was_not_sent_does_not_count() -> None:
    """The sender was at its bounds: the receiver is not to blame, and the schedule stays where it is."""
    verdict = judge(delivery(failures=3), Failure(FailureKind.BUSY, "Too much is in flight.", TIMINGS))
    done = verdict.completion
    assert (done.outcome, done.status, done.total_ms) == (DeliveryOutcome.RELEASED, DeliveryStatus.PENDING, 500)
    assert 0 < (done.pause or 0) < PAUSES[0]
    assert verdict.works is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("5", 5),
        (" 5 ", 5),
        ("99999999999", LONGEST_RETRY_AFTER),
        ("-5", 0),
        ("soon", 0),
        ("1.5", 0),
        ("1 Jan 99999999999999999999 00:00:00 GMT", 0),
        ("٣", 0),
    ],
)
def test_retry_after_in_seconds(text: str, seconds: float) -> None:
    """Anything but a plain number is ignored, and a day is the most."""
    assert retry_after(response(503, retry_after=text)) == seconds


def test_retry_after_as_a_date() -> None:
    """A date that has passed asks for nothing."""
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    assert retry_after(response(503, retry_after=soon)) == pytest.approx(60, abs=3)
    assert retry_after(response(503, retry_after="Wed, 21 Oct 2015 07:28:00 GMT")) == 0
    assert retry_after(response(503, retry_after="Fri, 31 Dec 9999 23:59:59 GMT")) == LONGEST_RETRY_AFTER
    assert retry_after(response(503)) == 0
