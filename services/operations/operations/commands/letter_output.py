"""How a dead letter is printed for people."""

from collections.abc import Sequence

import click
import msgspec

from darkroom.console import print_fields, print_table
from operations.letters.records import AttemptRecord, Delivery, DeliveryAttempt, Letter

_SHOWN_BYTES = 256
_ANSWERED_BYTES = 16_384
"""The most bytes of receivers' answers that are printed, of all attempts together."""


def print_letter(letter: Letter) -> None:
    """Print every field of a dead letter, and its attempts."""
    print_fields(_fields(letter))
    if letter.attempts:
        click.echo()
        _print_attempts(letter.attempts)
    if letter.delivery and letter.delivery.attempts:
        click.echo()
        _print_delivery_attempts(letter.delivery.attempts)


def _fields(letter: Letter) -> list[tuple[str, object]]:
    error = msgspec.json.decode(letter.error)
    return [
        ("id", letter.id),
        ("kind", letter.kind),
        ("status", letter.status),
        ("reason", letter.reason),
        ("message", error.pop("message", None)),
        ("error", msgspec.json.encode(error).decode()),
        ("fingerprint", letter.fingerprint),
        ("job", _job(letter)),
        ("tenant", letter.tenant),
        *_kind_s_fields(letter),
        ("created", letter.created_at),
        ("resolved", letter.resolved_at),
    ]


def _kind_s_fields(letter: Letter) -> list[tuple[str, object]]:
    """Return the fields of a message, or those of a delivery."""
    if letter.delivery_id is None:
        return [
            ("model", letter.model),
            ("headers", _indented(letter.headers)),
            ("x-death", _indented(letter.x_death)),
            ("body", _body(letter)),
        ]
    if letter.delivery is None:
        return [("delivery", f"{letter.delivery_id} (removed because of its age)")]
    return _delivery_s_fields(letter.delivery)


def _delivery_s_fields(delivery: Delivery) -> list[tuple[str, object]]:
    return [
        ("delivery", f"{delivery.id} ({delivery.status})"),
        ("event", delivery.event),
        ("endpoint", f"{delivery.endpoint_id} ({_endpoint_state(delivery)})"),
        ("url", delivery.url),
        ("attempts", _count(delivery)),
        ("next attempt", delivery.next_attempt_at),
    ]


def _endpoint_state(delivery: Delivery) -> str:
    if delivery.endpoint_status is None:
        return "removed"
    return "deleted" if delivery.endpoint_deleted else str(delivery.endpoint_status)


def _count(delivery: Delivery) -> str:
    shown = len(delivery.attempts)
    return str(delivery.attempt) if shown == delivery.attempt else f"{delivery.attempt}; the latest {shown} are below"


def _print_attempts(attempts: Sequence[AttemptRecord]) -> None:
    print_table(
        ("generation", "attempt", "worker", "started", "ended", "outcome", "error"),
        (_attempt(attempt) for attempt in attempts),
    )
    for attempt in attempts:
        _print_detail(attempt)


def _print_delivery_attempts(attempts: Sequence[DeliveryAttempt]) -> None:
    print_table(
        (
            "attempt",
            "started",
            "outcome",
            "status",
            "DNS ms",
            "connect ms",
            "TLS ms",
            "first byte ms",
            "total ms",
            "error",
        ),
        (_delivery_attempt(attempt) for attempt in attempts),
    )
    _print_answers(attempts)


def _delivery_attempt(attempt: DeliveryAttempt) -> tuple[object, ...]:
    durations = (attempt.dns_ms, attempt.connect_ms, attempt.tls_ms, attempt.first_byte_ms, attempt.total_ms)
    return (
        attempt.number,
        attempt.started_at,
        attempt.outcome or "in flight",
        attempt.status_code,
        *(None if duration is None else f"{duration:.1f}" for duration in durations),
        attempt.error,
    )


def _print_answers(attempts: Sequence[DeliveryAttempt]) -> None:
    """Print what the receiver answered, the latest first and equal answers once, within a bound."""
    numbers: dict[bytes, list[int]] = {}
    for attempt in attempts:
        if attempt.response:
            numbers.setdefault(attempt.response, []).append(attempt.number)
    left = _ANSWERED_BYTES
    for response in sorted(numbers, key=lambda response: -numbers[response][-1]):
        click.echo()
        print_fields([("answer to", f"{_attempts(numbers[response])}\n{_answer(response, left)}")])
        left = max(0, left - len(response))


def _attempts(numbers: Sequence[int]) -> str:
    """Return "attempts 1, 2, 5-8" for numbers in ascending order."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    shown = ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
    return f"attempt {shown}" if len(numbers) == 1 else f"attempts {shown}"


def _answer(response: bytes, left: int) -> str:
    if not left:
        return f"({len(response)} bytes; --json prints all as base64)"
    more = f"\n({len(response) - left} bytes more; --json prints all as base64)" if len(response) > left else ""
    return response[:left].decode(errors="backslashreplace") + more


def _job(letter: Letter) -> str | None:
    if letter.job_id is None or letter.delivery_id is not None:
        return None if letter.job_id is None else str(letter.job_id)
    if letter.job_status is None:
        return f"{letter.job_id} (generation {letter.generation}; not in this database)"
    now = f"{letter.job_status} in generation {letter.job_generation}"
    return f"{letter.job_id} (failed in generation {letter.generation}; now {now})"


def _body(letter: Letter) -> str | None:
    if letter.body is None:
        return None
    if letter.body_text is not None and len(letter.body) <= _SHOWN_BYTES * 4:
        return letter.body_text
    beginning = letter.body[:_SHOWN_BYTES].hex(" ")
    return f"{len(letter.body)} bytes, beginning {beginning}; --json prints all as base64"


def _attempt(attempt: AttemptRecord) -> tuple[object, ...]:
    error = msgspec.json.decode(attempt.error) if attempt.error else {}
    return (
        attempt.generation,
        attempt.attempt,
        attempt.worker,
        attempt.started_at,
        attempt.ended_at,
        attempt.outcome,
        error.get("message"),
    )


def _print_detail(attempt: AttemptRecord) -> None:
    """Print the parts of an attempt's error that only operators see: its cause, or the last lines of the render log."""
    error = msgspec.json.decode(attempt.error) if attempt.error else {}
    details = [error["cause"]] if "cause" in error else error.get("last_lines", [])
    if details:
        click.echo()
        heading = f"generation {attempt.generation}, attempt {attempt.attempt}"
        print_fields([(heading, "\n".join(map(str, details)))])


def _indented(raw: msgspec.Raw | None) -> str | None:
    return None if raw is None else msgspec.json.format(bytes(raw)).decode()
