"""Retrying a job: a new one with the input of a finished one."""

from uuid import UUID

from msgspec.structs import replace

from chassis.auth import Caller
from chassis.errors import DatabaseUnavailableError
from chassis.problems import ProblemError
from chassis.targets import Policy
from darkroom_contracts.errors import ApiError
from darkroom_contracts.models import Catalogue
from darkroom_contracts.states import TERMINAL
from gateway.bounds import check_input, check_webhook_url, find_model
from gateway.identifiers import uuid7
from gateway.recording import Recorder
from gateway.store import JobStore
from gateway.submission import Accepted, RecordedJob, Request, hash_body


class RetryJob:
    """The use case of `retry_job`."""

    def __init__(self, catalogue: Catalogue, store: JobStore, recorder: Recorder, webhook_targets: Policy) -> None:
        self._catalogue = catalogue
        self._webhook_targets = webhook_targets
        self._store = store
        self._recorder = recorder

    async def __call__(self, caller: Caller, job_id: UUID, idempotency_key: str | None, traceparent: str) -> Accepted:
        """Accept a new job, or return the one that was accepted earlier under this key. Raises ProblemError."""
        body_hash = hash_body(b"retry " + job_id.bytes)
        try:
            recorded = await self._retriable(job_id, caller.tenant_id)
        except ProblemError as refusal:
            repeated = Request(tenant_id=caller.tenant_id, idempotency_key=idempotency_key, body_hash=body_hash)
            return await self._recorder.earlier(repeated, refusal)
        submission = replace(
            recorded.submission,
            id=uuid7(),
            key_id=caller.key_id,
            traceparent=traceparent,
            retried_from=job_id,
            idempotency_key=idempotency_key,
            body_hash=body_hash,
        )
        return await self._recorder.record(submission)

    async def _retriable(self, job_id: UUID, tenant_id: UUID) -> RecordedJob:
        """Return a job that has ended and is within today's bounds. Raises ProblemError."""
        recorded = await self._find(job_id, tenant_id)
        if recorded.status not in TERMINAL:
            raise ProblemError(ApiError.JOB_NOT_FINISHED, f"The job is {recorded.status}. Retry it after it has ended.")
        check_input(find_model(self._catalogue, recorded.submission.model), recorded.submission.input)
        check_webhook_url(self._webhook_targets, recorded.submission.webhook_url)
        return recorded

    async def _find(self, job_id: UUID, tenant_id: UUID) -> RecordedJob:
        try:
            return await self._store.find(job_id, tenant_id)
        except DatabaseUnavailableError as error:
            raise DatabaseUnavailableError(str(error), in_doubt=False) from error  # a read leaves nothing in doubt
