"""One dead letter as `darkroom dead-letters show` prints it for people."""

from collections.abc import Iterator
from datetime import timedelta

import click

from darkroom.console import print_fields
from darkroom.desk_commands.rows import Row, one_line, print_rows
from darkroom_contracts.api.dead_letters import Act, DeadLetterDetail, DeliveryState, FailedAttempt, FailedDelivery
from darkroom_contracts.states import LetterKind, LetterStatus

_TIMES = {1: "second time", 2: "third time"}


def print_letter(letter: DeadLetterDetail) -> None:
    """Print a sentence about the failure, the letter's fields, attempts and acts, and what can be done."""
    click.secho(_headline(letter), bold=True)
    click.echo()
    print_fields(_fields(letter))
    if letter.attempts:
        click.echo()
        _print_attempts(letter.attempts)
    if letter.delivery and letter.delivery.attempts:
        click.echo()
        _print_deliveries(letter.delivery.attempts)
    if letter.acts:
        click.echo()
        _print_acts(letter.acts)
    for hint in _hints(letter):
        click.echo(hint, err=True)


def _headline(letter: DeadLetterDetail) -> str:
    """Return the error, how often it came back, and where: `Out of memory, second time, on gpu-1.`"""
    again = letter.returns and _TIMES.get(letter.returns, f"{letter.returns + 1} times now")
    parts = (letter.error.message.rstrip("."), again, letter.worker and f"on {letter.worker}")
    return one_line(", ".join(part for part in parts if part) + ".")


def _fields(letter: DeadLetterDetail) -> Iterator[tuple[str, object]]:
    yield "id", letter.id
    yield "kind", letter.kind
    yield "status", letter.status
    yield "reason", f"{letter.reason}{f' in stage {letter.error.stage}' if letter.error.stage else ''}"
    yield "fingerprint", letter.fingerprint
    yield "group", letter.group_id
    if letter.job_id is not None:
        yield "job", _job(letter)
    yield "tenant", letter.tenant
    if letter.kind is LetterKind.WEBHOOK:
        yield from _delivery_fields(letter)
    else:
        yield "model", letter.model
    yield "recorded", letter.created_at
    if letter.resolved_at is not None:
        yield "resolved", letter.resolved_at
    if letter.body_bytes is not None:
        yield "message", f"{letter.body_bytes:,} bytes, hidden"


def _job(letter: DeadLetterDetail) -> str:
    if letter.kind is LetterKind.WEBHOOK:
        return f"{letter.job_id}"
    if letter.job_status is None:
        return f"{letter.job_id} (generation {letter.generation}; not in this database)"
    if letter.job_deleted:
        return f"{letter.job_id} (failed in generation {letter.generation}; deleted by its tenant)"
    now = f"{letter.job_status} in generation {letter.job_generation}"
    return f"{letter.job_id} (failed in generation {letter.generation}; now {now})"


def _delivery_fields(letter: DeadLetterDetail) -> Iterator[tuple[str, object]]:
    delivery = letter.delivery
    if delivery is None:
        yield "delivery", f"{letter.delivery_id} (removed because of its age)"
        return
    yield "delivery", f"{letter.delivery_id} ({delivery.status})"
    yield "event", delivery.event
    yield "endpoint", f"{delivery.endpoint_id} ({_endpoint_state(delivery)})"
    yield "attempts", _count(delivery)
    if delivery.next_attempt_at is not None:
        yield "next attempt", delivery.next_attempt_at


def _endpoint_state(delivery: DeliveryState) -> str:
    if delivery.endpoint_status is None:
        return "removed"
    return "deleted" if delivery.endpoint_deleted else str(delivery.endpoint_status)


def _count(delivery: DeliveryState) -> str:
    shown, made = len(delivery.attempts), delivery.attempts_made
    return f"{made}" if shown == made else f"{made}; the latest {shown} are below"


def _print_attempts(attempts: list[FailedAttempt]) -> None:
    columns = ("generation", "attempt", "outcome", "worker", "started", "took")
    print_rows(columns, map(_attempt, attempts), text="error", whole=True)


def _attempt(attempt: FailedAttempt) -> Row:
    outcome = f"{attempt.outcome or 'running'}{', refunded' if attempt.refunded else ''}"
    took = None if attempt.ended_at is None else _seconds(attempt.ended_at - attempt.started_at)
    error = attempt.error
    cells = (attempt.generation, attempt.attempt, outcome, attempt.worker, attempt.started_at, took)
    return Row(cells, f"{error.message} ({error.code})" if error else "", notes=[*_place(attempt)])


def _place(attempt: FailedAttempt) -> Iterator[str]:
    """Yield a line about the device, the model's revision and the libraries' versions, if they are known."""
    device = " ".join(filter(None, (attempt.device, attempt.gpu_id)))
    revision = f"revision {attempt.model_revision}" if attempt.model_revision else ""
    versions = ", ".join(f"{name} {version}" for name, version in (attempt.versions or {}).items())
    if known := "; ".join(filter(None, (device, revision, versions))):
        yield known


def _print_deliveries(attempts: list[FailedDelivery]) -> None:
    columns = ("attempt", "outcome", "HTTP", "started", "took")
    print_rows(columns, map(_delivery, attempts), text="error", whole=True)


def _delivery(attempt: FailedDelivery) -> Row:
    took = None if attempt.total_ms is None else _seconds(timedelta(milliseconds=attempt.total_ms))
    outcome = attempt.outcome or "in flight"
    return Row((attempt.number, outcome, attempt.status_code, attempt.started_at, took), attempt.error or "")


def _print_acts(acts: list[Act]) -> None:
    rows = (Row((act.action, act.actor, act.at), act.reason or "") for act in acts)
    print_rows(("act", "by", "when"), rows, text="reason", whole=True)


def _seconds(took: timedelta) -> str:
    seconds = took.total_seconds()
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _hints(letter: DeadLetterDetail) -> Iterator[str]:
    """Yield what to do next, on lines of their own so that the commands can be copied."""
    yield ""
    yield f"See what is hidden:   darkroom dead-letters reveal {letter.id} --reason TEXT"
    if letter.status == LetterStatus.OPEN:
        if letter.kind is not LetterKind.UNDECODABLE:
            yield f"Try it again:         darkroom dead-letters replay {letter.id}"
        yield f"Give it up:           darkroom dead-letters discard {letter.id} --reason TEXT"
    elif letter.status == LetterStatus.DISCARDED:
        yield f"Open it again:        darkroom dead-letters restore {letter.id}"
