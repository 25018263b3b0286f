"""Submitting a job."""

from chassis.auth import Caller
from chassis.problems import ProblemError
from chassis.targets import Policy
from darkroom_contracts.api import JobInput, JobRequest
from darkroom_contracts.models import Catalogue, Model
from gateway.bounds import check_webhook_url, find_model, resolve_input
from gateway.decoding import decode_request
from gateway.identifiers import uuid7
from gateway.recording import Recorder
from gateway.submission import Accepted, Request, Submission, hash_body


class SubmitJob:
    """The use case of `submit_job`."""

    def __init__(self, catalogue: Catalogue, recorder: Recorder, webhook_targets: Policy) -> None:
        self._catalogue = catalogue
        self._webhook_targets = webhook_targets
        self._recorder = recorder

    async def __call__(self, caller: Caller, body: bytes, idempotency_key: str | None, traceparent: str) -> Accepted:
        """Accept a job, or return the one that was accepted earlier under this key. Raises ProblemError."""
        request = decode_request(body)
        try:
            model, wanted = self._within_bounds(request)
        except ProblemError as refusal:
            repeated = Request(tenant_id=caller.tenant_id, idempotency_key=idempotency_key, body_hash=hash_body(body))
            return await self._recorder.earlier(repeated, refusal)
        submission = Submission(
            id=uuid7(),
            tenant_id=caller.tenant_id,
            key_id=caller.key_id,
            user_id=request.user_id,
            model=model.name,
            input=wanted,
            metadata=request.metadata,
            webhook_url=request.webhook_url,
            webhook_events=request.webhook_events,
            ttl_seconds=request.ttl_seconds,
            deadline_seconds=request.deadline_seconds,
            cost=wanted.cost,
            traceparent=traceparent,
            idempotency_key=idempotency_key,
            body_hash=hash_body(body),
        )
        return await self._recorder.record(submission)

    def _within_bounds(self, request: JobRequest) -> tuple[Model, JobInput]:
        """Return model and input of a request within today's bounds. Raises ProblemError."""
        model = find_model(self._catalogue, request.model)
        wanted = resolve_input(model, request.input)
        check_webhook_url(self._webhook_targets, request.webhook_url)
        return model, wanted
