"""Record messages from the dead-letter queue, several in one transaction."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple, TypeAlias

import structlog

from chassis.headers import json_safe
from chassis.postgres import Connection, Database
from chassis.text import storable
from darkroom_contracts.api import JobError
from darkroom_contracts.errors import JobErrorCode, Stage
from darkroom_contracts.messages import RenderMessage, UndecodableMessageError, decode_render, v2
from operations.letters import store
from operations.letters.records import NamedJob, Orphan, Undecodable
from operations.retention import purge

log = structlog.get_logger()

LONGEST_REASON = 1000
X_DEATH = "x-death"


class Ingested(StrEnum):
    """The result of ingesting a message from the dead-letter queue."""

    COMPLETED = "completed"
    """The broker's record was added to the job's dead letter."""
    FAILED = "failed"
    """The message reached the delivery limit, so its job has failed."""
    ORPHANED = "orphaned"
    """The database, restored from a backup, does not know the job. The message is recorded and can be replayed."""
    UNDECODABLE = "undecodable"
    """The message can't be decoded, or names a job of another tenant. Its exact bytes are recorded."""
    DROPPED = "dropped"
    """The message adds nothing: its job went on without it, or the same bytes are recorded already."""


class DeadMessage(NamedTuple):
    """A message as it was found in the queue."""

    body: bytes
    headers: Mapping[str, Any]


class Found(NamedTuple):
    """A message that names its job. `number` is its place in the batch."""

    number: int
    message: RenderMessage
    body: bytes
    headers: dict[str, Any]
    undeliverable: bool
    """Whether the broker says that it reached the delivery limit."""

    @property
    def job(self) -> NamedJob:
        tenant_id = self.message.tenant_id if isinstance(self.message, v2.Render) else None
        return NamedJob(self.message.job_id, self.message.generation, tenant_id)


class Unusable(NamedTuple):
    """A message that leads to no job."""

    number: int
    reason: str
    body: bytes
    headers: dict[str, Any]


Results: TypeAlias = dict[int, Ingested]


async def ingest(database: Database, body: bytes, headers: Mapping[str, Any]) -> Ingested:
    """Record a message from the dead-letter queue. Ingesting a redelivered message again changes nothing."""
    [result] = await ingest_all(database, [DeadMessage(body, headers)])
    return result


async def ingest_all(database: Database, messages: Sequence[DeadMessage]) -> list[Ingested]:
    """Record messages in one transaction, and return the result of each."""
    found, unusable = _decode(messages)
    async with database.transaction() as connection:
        results = await _record(connection, found)
        strangers = await _strangers(connection, [each for each in found if each.number not in results])
        results |= await _record_unusable(connection, [*unusable, *strangers])
        results |= await _record_orphans(connection, [each for each in found if each.number not in results])
    for each in found:
        log.info(
            "dead message ingested",
            result=results[each.number],
            job_id=str(each.job.job_id),
            generation=each.job.generation,
        )
    return [results[number] for number in range(len(messages))]


def _decode(messages: Iterable[DeadMessage]) -> tuple[list[Found], list[Unusable]]:
    """Return the messages that name a job, in the order of these, so that transactions lock jobs in one order."""
    found, unusable = [], []
    for number, (body, headers) in enumerate(messages):
        safe = json_safe(headers)
        try:
            found.append(Found(number, decode_render(body), body, safe, _is_undeliverable(headers)))
        except UndecodableMessageError as error:
            unusable.append(Unusable(number, error.reason, body, safe))
    return sorted(found, key=lambda each: each.job[:2]), unusable


async def _record(connection: Connection, found: Sequence[Found]) -> Results:
    """Add the broker's records to the letters of jobs. Messages without a letter are not in the result."""
    failed = {each.number for each in found if each.undeliverable and await _fail(connection, each)}
    if not found:
        return {}
    jobs = {each.number: each.job for each in found}
    bodies = [each.body if each.job.tenant_id is None else None for each in found]
    completed = await store.attach_x_deaths(connection, jobs, bodies, [each.headers for each in found])
    return {number: Ingested.FAILED if number in failed else Ingested.COMPLETED for number in completed}


async def _fail(connection: Connection, dead: Found) -> bool:
    """Fail the job of a message at the delivery limit, if the message is one that the relay sent.

    The broker's record is a header, which anyone who may publish can write; and the job's row can't show deliveries
    that ended before a claim. So the message must carry what only the database and its messages do. Otherwise it is
    dropped, and the job's message is republished once it is shown to be lost.
    """
    if not isinstance(dead.message, v2.Render):
        return False
    return await store.fail_undeliverable(connection, dead.message, _UNDELIVERABLE, dead.body, dead.headers)


async def _strangers(connection: Connection, rest: Sequence[Found]) -> list[Unusable]:
    """Return the messages that name a job of another tenant than theirs: forged, they change nothing of it."""
    jobs = {each.number: each.job for each in rest if each.job.tenant_id is not None}
    if not jobs:
        return []
    tenants = await store.tenants_of(connection, [job.job_id for job in jobs.values()])
    strange = {number for number, job in jobs.items() if tenants.get(job.job_id, job.tenant_id) != job.tenant_id}
    return [
        Unusable(each.number, f"The message names job {each.job.job_id} of another tenant.", each.body, each.headers)
        for each in rest
        if each.number in strange
    ]


async def _record_orphans(connection: Connection, rest: Sequence[Found]) -> Results:
    """Record the messages whose jobs are unknown and were not purged."""
    if not rest:
        return {}
    await purge.hold(connection)
    new = await store.insert_orphans(connection, _UNKNOWN_JOB, [_orphan(each) for each in rest])
    results: Results = {}
    for each in rest:  # a copy in the same batch adds nothing
        key = each.job.job_id, each.job.generation
        results[each.number] = Ingested.ORPHANED if key in new else Ingested.DROPPED
        new.discard(key)
    return results


def _orphan(dead: Found) -> Orphan:
    return Orphan(
        job_id=dead.job.job_id,
        tenant_id=dead.job.tenant_id,
        generation=dead.job.generation,
        model=dead.message.model,
        body=dead.body,
        headers=dead.headers,
    )


async def _record_unusable(connection: Connection, unusable: Sequence[Unusable]) -> Results:
    if not unusable:
        return {}
    new = await store.insert_undecodable(connection, [_undecodable(each) for each in unusable])
    results: Results = {}
    for each in unusable:
        key = hashlib.sha256(each.body).digest()
        results[each.number] = Ingested.UNDECODABLE if key in new else Ingested.DROPPED
        new.discard(key)
        log.warning(
            "undecodable message ingested",
            reason=_shortened(each.reason),
            bytes=len(each.body),
            result=results[each.number],
        )
    return results


def _undecodable(dead: Unusable) -> Undecodable:
    error = JobError(JobErrorCode.UNDECODABLE, _shortened(dead.reason), retryable=False, stage=Stage.DELIVERY)
    return Undecodable(error, dead.body, dead.headers)


def _shortened(reason: str) -> str:
    return storable(reason)[:LONGEST_REASON]


def _is_undeliverable(headers: Mapping[str, Any]) -> bool:
    match headers.get(X_DEATH):
        case [{"reason": JobErrorCode.DELIVERY_LIMIT}, *_]:
            return True
    return False


_UNKNOWN_JOB = JobError(
    JobErrorCode.ORPHAN,
    "The job of the message is not in the database, which was restored from an older backup.",
    retryable=False,
    stage=Stage.DELIVERY,
)
_UNDELIVERABLE = JobError(
    JobErrorCode.DELIVERY_LIMIT,
    "The broker reached the delivery limit of the job's message.",
    retryable=False,
    stage=Stage.DELIVERY,
)
