"""Turn an orphan's message into the job that it asked for, checked as a submission is checked today."""

import re
from typing import Any

import msgspec

from chassis.targets import Policy, TargetRefusedError, parse_target
from darkroom_contracts.api import JobInput, JobRequest
from darkroom_contracts.api.replays import ReplayEdit
from darkroom_contracts.messages import UndecodableMessageError, decode_render, v2
from darkroom_contracts.models import Catalogue, OutOfBoundsError, UnknownModelError
from darkroom_contracts.webhooks import TERMINAL_EVENTS
from operations.replays.edits import Bounds, edit_job
from operations.replays.outcome import ReplayRefusedError, Verdict
from operations.replays.records import EditableJob, EditedJob, RevivedJob

_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_PRIORITIES = range(-(2**15), 2**15)
"""The range of a smallint."""
_LAST_GENERATION = 2**31 - 1
"""The largest integer of Postgres."""


class UnfitMessageError(ReplayRefusedError):
    """The message does not hold a job that could be submitted today."""

    def __init__(self, reason: str) -> None:
        super().__init__(Verdict.UNFIT_MESSAGE, f"The job can't be made again: its message {reason}.")


def read_message(body: bytes) -> v2.Render:
    """Decode a message. Raises UnfitMessageError if it does not carry its whole job."""
    try:
        message = decode_render(body)
    except UndecodableMessageError as error:
        raise UnfitMessageError(f"can't be decoded: {error.reason}") from error
    if not isinstance(message, v2.Render):
        raise UnfitMessageError("has version 1, which does not carry the job")
    return message


def revived_job(message: v2.Render, generation: int, bounds: Bounds, edit: ReplayEdit | None) -> RevivedJob:
    """Return the job of a message, edited, and checked as a submission. Raises UnfitMessageError, UnfitEditError."""
    request = _as_request(message)
    edited = _edited(message, bounds.catalogue(), edit)
    _check_key(message)
    _check_webhook_url(request.webhook_url, bounds.webhook_targets)
    if message.priority not in _PRIORITIES or generation > _LAST_GENERATION:
        raise UnfitMessageError("has a priority or a generation out of bounds")
    return RevivedJob(
        id=message.job_id,
        tenant_id=message.tenant_id,
        key_id=message.key_id,
        user_id=request.user_id,
        model=message.model,
        input=message.input,
        metadata=request.metadata,
        webhook_url=request.webhook_url,
        webhook_events=request.webhook_events,
        traceparent=message.traceparent,
        retried_from=message.retried_from,
        idempotency_key=message.idempotency_key,
        body_hash=message.body_hash,
        priority=message.priority,
        overrides=edited.overrides,
        cost=edited.cost,
        generation=generation,
        created_at=message.created_at,
        ttl_seconds=request.ttl_seconds,
        deadline_seconds=request.deadline_seconds,
    )


def _as_request(message: v2.Render) -> JobRequest:
    """Return the submission that asks for the same job. Raises UnfitMessageError."""
    submission: dict[str, Any] = {
        "input": msgspec.to_builtins(message.input),
        "model": message.model,
        "ttl_seconds": message.ttl_seconds,
        "deadline_seconds": message.deadline_seconds,
        "user_id": message.user_id,
        "webhook_url": message.webhook_url,
        "webhook_events": message.webhook_events or TERMINAL_EVENTS,
        "metadata": message.metadata,
    }
    try:
        return msgspec.convert(submission, JobRequest)
    except msgspec.ValidationError as error:
        raise UnfitMessageError(f"would not be accepted as a submission: {error}") from error


def _edited(message: v2.Render, catalogue: Catalogue, edit: ReplayEdit | None) -> EditedJob:
    """Return the edit and what the job then costs. The message's own model may be gone if the edit names another."""
    if edit is not None:
        return edit_job(edit, EditableJob(message.model, message.input, None), catalogue)
    _check_model(message.model, message.input, catalogue)
    return EditedJob(None, message.input.cost)


def _check_model(name: str, wanted: JobInput, catalogue: Catalogue) -> None:
    try:
        catalogue.find(name).check(wanted)
    except UnknownModelError as error:
        raise UnfitMessageError(f"asks for the model {name}, which {error}") from error
    except OutOfBoundsError as error:
        raise UnfitMessageError(f"asks for {error.field} that {error}") from error


def _check_webhook_url(url: str | None, policy: Policy) -> None:
    try:
        if url is not None:
            parse_target(url, policy)
    except TargetRefusedError as error:
        raise UnfitMessageError(f"has a webhook_url that {error}") from error


def _check_key(message: v2.Render) -> None:
    if message.idempotency_key is None:
        return
    if not _IDEMPOTENCY_KEY.fullmatch(message.idempotency_key) or message.body_hash is None:
        raise UnfitMessageError("has an invalid Idempotency-Key")
