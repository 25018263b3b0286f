"""The use cases: submit a job, cancel it, run it again."""

import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

import msgspec
import structlog

from chassis.auth import Caller
from chassis.errors import BadDataError, DatabaseUnavailableError
from chassis.problems import ProblemError, unavailable
from chassis.single_flight import SingleFlight
from darkroom_contracts.api import MAX_SEED, CancelReply, JobInput, JobInputRequest
from darkroom_contracts.errors import ApiError
from darkroom_contracts.models import Catalogue, Model, OutOfBoundsError, UnknownModelError
from darkroom_contracts.states import TERMINAL
from gateway.admission import Admission
from gateway.batch import CommitFailedError, Committer, CommitterFullError
from gateway.decoding import decode_request, invalid
from gateway.earlier import EarlierSubmissions
from gateway.identifiers import uuid7
from gateway.store import GoneError, JobStore, NoSuchJobError
from gateway.submission import Accepted, Gone, KeyReused, Outcome, RecordedJob, Submission, hash_body

_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_CANCEL_IN_DOUBT = (
    "The database did not answer: the cancel may or may not have been recorded. Sending it again is safe."
)
_IN_DOUBT = (
    "The database did not answer. Nothing is half done, but whether the job was accepted is unknown:"
    " sending it again under the same Idempotency-Key is safe."
)

log = structlog.get_logger()


class Intake:
    """What the gateway does for its clients."""

    def __init__(
        self,
        catalogue: Catalogue,
        store: JobStore,
        committer: Committer,
        admission: Admission,
        on_queued: Callable[[], None],
    ) -> None:
        self._catalogue = catalogue
        self._store = store
        self._committer = committer
        self._admission = admission
        self._on_queued = on_queued
        """Called when there is something to publish."""
        self._earlier = EarlierSubmissions(store)
        self._cancels = SingleFlight(self._cancel)

    async def submit(self, caller: Caller, body: bytes, idempotency_key: str | None, traceparent: str) -> Accepted:
        """Accept a job, or answer again for one that was accepted under this key. Raises ProblemError."""
        _check_key(idempotency_key)
        request = decode_request(body)
        model = self._model(request.model)
        wanted = _resolve(model, request.input)
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
        return await self._record(submission)

    async def retry(self, caller: Caller, job_id: UUID, idempotency_key: str | None, traceparent: str) -> Accepted:
        """Accept a new job that asks for the same as a finished one. Raises ProblemError."""
        _check_key(idempotency_key)
        recorded = await self._find(job_id, caller.tenant_id)
        if recorded.status not in TERMINAL:
            raise ProblemError(
                ApiError.JOB_NOT_FINISHED, f"The job is {recorded.status}; it can be retried once it ended."
            )
        _check(self._model(recorded.submission.model), recorded.submission.input)
        submission = msgspec.structs.replace(
            recorded.submission,
            id=uuid7(),
            key_id=caller.key_id,
            traceparent=traceparent,
            retried_from=job_id,
            idempotency_key=idempotency_key,
            body_hash=hash_body(b"retry " + job_id.bytes),
        )
        return await self._record(submission)

    async def cancel(self, caller: Caller, job_id: UUID) -> CancelReply:
        """Cancel a job, or tell how it stands when it ended already. Raises ProblemError."""
        try:
            with _absence_explained():
                return await self._cancels.call((job_id, caller.tenant_id))
        except DatabaseUnavailableError as error:
            if not error.in_doubt:
                raise
            log.warning("cancel in doubt", job_id=str(job_id), error=str(error))
            raise unavailable(_CANCEL_IN_DOUBT) from error

    async def delete(self, caller: Caller, job_id: UUID) -> None:
        """Delete a finished job and all that its submitter wrote; a tombstone stays. Raises ProblemError."""
        with _absence_explained():
            unfinished = await self._store.delete(job_id, caller.tenant_id)
        if unfinished is not None:
            raise ProblemError(
                ApiError.JOB_NOT_FINISHED, f"The job is {unfinished}; cancel it, and delete it once it ended."
            )

    async def _cancel(self, job: tuple[UUID, UUID]) -> CancelReply:
        return await self._store.cancel(*job)

    async def _find(self, job_id: UUID, tenant_id: UUID) -> RecordedJob:
        try:
            with _absence_explained():
                return await self._store.find(job_id, tenant_id)
        except DatabaseUnavailableError as error:
            raise DatabaseUnavailableError(str(error), in_doubt=False) from error  # it only reads

    async def _record(self, submission: Submission) -> Accepted:
        outcome = await self._earlier_if_full(submission) or await self._commit(submission)
        match outcome:
            case Accepted():
                return outcome
            case KeyReused():
                raise ProblemError(
                    ApiError.IDEMPOTENCY_KEY_REUSED,
                    "This Idempotency-Key was sent with another request; take a fresh one.",
                    field="Idempotency-Key",
                )
            case Gone():
                raise _gone("The job that was submitted under this Idempotency-Key was deleted; take a fresh key.")

    async def _earlier_if_full(self, submission: Submission) -> Outcome | None:
        """Ask for admission. A full queue still answers for what it accepted earlier under the same key."""
        try:
            self._admission.admit(submission.model, submission.tenant_id)
        except ProblemError:
            earlier = await self._earlier.outcome(submission)
            if earlier is None:
                raise
            return earlier
        return None

    async def _commit(self, submission: Submission) -> Outcome:
        try:
            outcome = await self._committer.submit(submission)
        except (CommitterFullError, CommitFailedError) as error:
            raise unavailable(f"{error} Nothing was done; try again.") from error
        except DatabaseUnavailableError as error:
            if not error.in_doubt:
                raise
            raise unavailable(_IN_DOUBT) from error
        except BadDataError as error:
            raise ProblemError(ApiError.INVALID_REQUEST, "The request holds a value that can't be stored.") from error
        self._on_queued()
        return outcome

    def _model(self, name: str | None) -> Model:
        try:
            return self._catalogue.find(name)
        except UnknownModelError as error:
            raise invalid("model", str(error)) from error


def _check_key(key: str | None) -> None:
    if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
        raise invalid("Idempotency-Key", "must be 1 to 255 visible ASCII characters, without spaces")


def _resolve(model: Model, request: JobInputRequest) -> JobInput:
    try:
        return model.resolve(request, seed=secrets.randbelow(MAX_SEED + 1))
    except OutOfBoundsError as error:
        raise invalid(f"input.{error.field}", str(error)) from error


def _check(model: Model, wanted: JobInput) -> None:
    """A model's bounds may be tighter than when the job was first accepted."""
    try:
        model.check(wanted)
    except OutOfBoundsError as error:
        raise invalid(f"input.{error.field}", str(error)) from error


@contextmanager
def _absence_explained() -> Iterator[None]:
    try:
        yield
    except NoSuchJobError as error:
        raise ProblemError(ApiError.NOT_FOUND, "There is no such job.") from error
    except GoneError as error:
        raise _gone("The job was deleted, or removed for its age.") from error


def _gone(detail: str) -> ProblemError:
    return ProblemError(ApiError.GONE, detail)
