"""Discard dead letters that nobody will replay, and restore them."""

from typing import Any
from uuid import UUID

import msgspec

from chassis.decoding import invalid
from chassis.postgres import Connection, Database
from darkroom_contracts.api.dead_letters import (
    MAX_DISCARDED,
    BulkDiscardReply,
    BulkDiscardRequest,
    DeadLetter,
    LetterScope,
)
from darkroom_contracts.states import DeliveryStatus, JobStatus, LetterKind
from operations.audit import log as audit
from operations.desk import store
from operations.desk.detail import read_letter
from operations.desk.records import Discarded, LetterState
from operations.desk.searching import criteria_of, window_of
from operations.errors import ConflictError, CountDiffersError, UnknownLetterError
from operations.retention import purge

COUNT_ONLY = -1
"""A number of letters that no scope has."""
BULK = "scope"
"""Subject of the audit entry of a bulk act, which has no single one."""


class Closing:
    """The use cases of `discard_dead_letter`, `restore_dead_letter` and `discard_dead_letters`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def discard(self, actor: str, letter_id: UUID, reason: str) -> DeadLetter:
        """Discard an open letter. Raises UnknownLetterError and ConflictError."""
        async with self._database.transaction() as connection:
            found = await _find(connection, letter_id)
            if found.delivery_id is not None:  # locked before its letter, as by every other writer
                await store.lock_delivery(connection, found.delivery_id)
            done = await store.discard(connection, letter_id)
            letter = await read_letter(connection, letter_id)
            if not done:
                raise ConflictError(f"The dead letter is {letter.status}, and only an open one can be discarded.")
            await audit.record(connection, actor, audit.Action.DISCARD, letter_id, reason=reason)
        return letter

    async def restore(self, actor: str, letter_id: UUID, reason: str) -> DeadLetter:
        """Open a discarded letter again. Raises UnknownLetterError and ConflictError."""
        async with self._database.transaction() as connection:
            await _check_subject(connection, await _find(connection, letter_id))
            done = await store.restore(connection, letter_id)
            letter = await read_letter(connection, letter_id)
            if not done:
                raise ConflictError(_why_not_restored(letter))
            await audit.record(connection, actor, audit.Action.RESTORE, letter_id, reason=reason)
        return letter

    async def discard_all(self, actor: str, request: BulkDiscardRequest) -> BulkDiscardReply:
        """Discard the open letters of a scope, at most MAX_DISCARDED, if there are `count`.

        One audit entry stands for all. Raises CountDiffersError, and ProblemError, 422, for an empty scope or a missing
        count.
        """
        if request.scope == LetterScope():
            raise invalid("scope", "must have a field; nothing is discarded without one")
        if request.count is None and not request.dry_run:
            raise invalid("count", "is missing; send the number that a dry run returned")
        async with self._database.transaction() as connection:
            done = await _discard(connection, request)
            if not request.dry_run:
                _check_count(done, request.count)
                await _record(connection, actor, request, done)
        remaining = done.included - done.discarded
        return BulkDiscardReply(
            count=done.included, discarded=done.discarded, remaining=remaining, left_out=done.left_out
        )


async def _find(connection: Connection, letter_id: UUID) -> LetterState:
    found = await store.find_letter(connection, letter_id)
    if found is None:
        raise UnknownLetterError(letter_id)
    return found


async def _discard(connection: Connection, request: BulkDiscardRequest) -> Discarded:
    criteria = await criteria_of(connection, request.scope)
    if criteria is None:
        return Discarded(0, 0, 0)
    count = COUNT_ONLY if request.dry_run or request.count is None else request.count
    return await store.discard_scope(
        connection, criteria, window_of(request.scope), request.scope.ids, count, MAX_DISCARDED
    )


def _check_count(done: Discarded, count: int | None) -> None:
    if done.included != count:
        raise CountDiffersError(
            f"The scope has {done.included} open dead letters, not {count}; nothing was done. Look at them again."
        )


async def _record(connection: Connection, actor: str, request: BulkDiscardRequest, done: Discarded) -> None:
    scope: dict[str, Any] = msgspec.to_builtins(request.scope)
    before = {"scope": {name: value for name, value in scope.items() if value is not None}, "open": done.included}
    after = {"open": done.included - done.discarded, "discarded": done.discarded}
    await audit.record(
        connection, actor, audit.Action.DISCARD_MANY, BULK, reason=request.reason, before=before, after=after
    )


async def _check_subject(connection: Connection, letter: LetterState) -> None:
    """Lock what the letter is about, which must be as the letter found it. Raises ConflictError."""
    match letter:
        case LetterState(kind=LetterKind.JOB, job_id=UUID() as job_id):
            job = await store.lock_job(connection, job_id)
            if job is None or job.deleted:
                raise ConflictError("The job of this dead letter was deleted, so it stays closed.")
            if (job.status, job.generation) != (JobStatus.FAILED, letter.generation):
                raise ConflictError(f"The job has moved on: it is {job.status} in generation {job.generation}.")
        case LetterState(kind=LetterKind.ORPHAN, job_id=UUID() as job_id):
            await purge.hold(connection)
            if await store.is_purged(connection, job_id) or await store.lock_job(connection, job_id) is not None:
                raise ConflictError("The job of this orphan exists again, or is too old to be made again.")
        case LetterState(kind=LetterKind.WEBHOOK, delivery_id=UUID() as delivery_id):
            await _check_delivery(connection, delivery_id)


async def _check_delivery(connection: Connection, delivery_id: UUID) -> None:
    """Lock a delivery, which must have ended without having been received. Raises ConflictError."""
    match await store.lock_delivery(connection, delivery_id):
        case None:
            raise ConflictError("The webhook delivery was removed because of its age.")
        case DeliveryStatus.PENDING | DeliveryStatus.SUCCEEDED:
            raise ConflictError("The webhook delivery is being sent again, or has been received.")


def _why_not_restored(letter: DeadLetter) -> str:
    if letter.status == "discarded":
        return "The webhook delivery has another dead letter, which is open or being replayed."
    return f"The dead letter is {letter.status}, and only a discarded one can be restored."
