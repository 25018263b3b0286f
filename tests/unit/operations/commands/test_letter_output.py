"""How the letter of a webhook delivery is printed."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest
from msgspec.structs import replace

from darkroom_contracts.states import DeliveryOutcome, DeliveryStatus, EndpointStatus
from operations.commands.letter_output import print_letter
from operations.letters.records import Delivery, DeliveryAttempt, Letter, LetterKind, LetterStatus

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
ERROR = {"code": "webhook_exhausted", "message": "The receiver answered 500.", "retryable": True, "stage": "delivery"}
ATTEMPT = DeliveryAttempt(
    number=1,
    started_at=NOON,
    ended_at=NOON,
    outcome=DeliveryOutcome.FAILED,
    status_code=500,
    dns_ms=1.04,
    connect_ms=2.0,
    tls_ms=None,
    first_byte_ms=30.25,
    total_ms=31.0,
    error="The receiver answered 500.",
    response=None,
)
DELIVERY = Delivery(
    id=UUID(int=2),
    endpoint_id=UUID(int=3),
    endpoint_status=EndpointStatus.ENABLED,
    endpoint_deleted=False,
    event="job.succeeded",
    url="https://shop.example.com/hook",
    status=DeliveryStatus.FAILED,
    next_attempt_at=None,
    attempt=1,
    attempts=[ATTEMPT],
)
LETTER = Letter(
    id=UUID(int=1),
    kind=LetterKind.WEBHOOK,
    status=LetterStatus.OPEN,
    job_id=UUID(int=4),
    job_status=None,
    job_generation=None,
    tenant="shop",
    generation=None,
    model=None,
    reason="webhook_exhausted",
    error=msgspec.Raw(msgspec.json.encode(ERROR)),
    fingerprint="0" * 32,
    body=None,
    body_text=None,
    headers=None,
    x_death=None,
    created_at=NOON,
    resolved_at=None,
    attempts=[],
    delivery_id=DELIVERY.id,
    delivery=DELIVERY,
)


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a function that prints a letter, with changes of its delivery, and returns the text."""

    def show(**changes: Any) -> str:
        print_letter(replace(LETTER, delivery=replace(DELIVERY, **changes)))
        return capsys.readouterr().out

    return show


def answered(*responses: bytes | None) -> dict[str, Any]:
    """Return changes of a delivery: attempts with these answers."""
    attempts = [replace(ATTEMPT, number=n, response=response) for n, response in enumerate(responses, 1)]
    return {"attempt": len(attempts), "attempts": attempts}


def test_everything_of_a_delivery_is_shown(printed: Any) -> None:
    """Endpoint, event, job and URL; of an attempt the time, status, durations and error. Nothing of a message."""
    text = printed()
    for part in (str(DELIVERY.endpoint_id), "enabled", "job.succeeded", DELIVERY.url, str(LETTER.job_id), "shop"):
        assert part in text
    [row] = [line for line in text.splitlines() if line.startswith("1 ")]
    assert row.split() == [
        *("1", "2026-11-21", "12:00:00Z", "failed", "500", "1.0", "2.0", "-", "30.2", "31.0"),
        *("The", "receiver", "answered", "500."),
    ]
    for absent in ("model", "headers", "x-death", "body"):
        assert not [line for line in text.splitlines() if line.startswith(absent)]


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"endpoint_status": None}, "removed"),
        ({"endpoint_deleted": True}, "deleted"),
        ({"endpoint_status": EndpointStatus.DISABLED}, "disabled"),
    ],
)
def test_the_endpoint_s_state_is_shown(printed: Any, changes: dict[str, Any], state: str) -> None:
    """It decides on a replay."""
    assert f"{DELIVERY.endpoint_id} ({state})" in printed(**changes)


def test_a_letter_without_its_delivery_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """Retention removed the delivery; the letter has its id and its reason."""
    print_letter(replace(LETTER, delivery=None))
    text = capsys.readouterr().out
    assert f"{DELIVERY.id} (removed because of its age)" in text
    assert "The receiver answered 500." in text


def test_what_the_receiver_answered_is_safe(printed: Any) -> None:
    """Control characters, bidirectional overrides and bytes that are not text reach no terminal."""
    text = printed(**answered(b"\x1b]0;owned\x07\xc2\x9b2J \xe2\x80\xae\xff\r\nsecond line"))
    assert all(char.isprintable() or char == "\n" for char in text)
    assert "]0;owned" in text
    assert "\\xff" in text
    continuation = next(line for line in text.splitlines() if "second line" in line)
    assert continuation.startswith(" " * len("answer to"))


def test_the_latest_answers_are_printed_within_a_bound(printed: Any) -> None:
    """Of all attempts together at most 16 kB; the rest is counted."""
    text = printed(**answered(b"a" * 9000, b"b" * 9000, b"c" * 9000))
    assert (text.count("aaa"), text.count("b" * 1000), text.count("c" * 1000)) == (0, 7, 9)
    assert "(1616 bytes more; --json prints all as base64)" in text
    assert "attempt 1\n           (9000 bytes; --json prints all as base64)" in text
    assert len(text) < 16_384 + 3000


def test_equal_answers_are_printed_once(printed: Any) -> None:
    """Ten attempts of one receiver mostly have one answer."""
    text = printed(**answered(b"broken", None, b"away", b"broken", b"broken", b"broken", None, b"away"))
    assert text.count("broken") == text.count("away") == 1
    assert "answer to  attempts 1, 4-6\n           broken" in text
    assert text.index("answer to  attempts 3, 8") < text.index("answer to  attempts 1, 4-6")


def test_attempts_that_are_left_out_are_counted(printed: Any) -> None:
    """A delivery that was sent again and again shows its latest attempts."""
    assert "201; the latest 1 are below" in printed(attempt=201)


def test_an_attempt_in_flight_is_shown(printed: Any) -> None:
    """It has no outcome yet."""
    assert "in flight" in printed(attempts=[replace(ATTEMPT, ended_at=None, outcome=None, total_ms=None)])
