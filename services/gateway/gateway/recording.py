"""Recording a submission: admission, the group commit, and idempotency."""

from collections.abc import Callable

from chassis.errors import BadDataError, DatabaseUnavailableError
from chassis.problems import ProblemError, unavailable
from darkroom_contracts.errors import ApiError
from gateway.admission import Admission
from gateway.batch import CommitFailedError, Committer, CommitterFullError
from gateway.idempotency import EarlierSubmissions
from gateway.store import JobStore
from gateway.submission import Accepted, Gone, KeyReused, Outcome, Request, Submission

_IN_DOUBT = (
    "The database did not respond. Whether the job was accepted is unknown, but nothing is half done: repeating the"
    " request with the same Idempotency-Key is safe."
)


class Recorder:
    """Records the submissions of new jobs and of retries."""

    def __init__(
        self, store: JobStore, committer: Committer, admission: Admission, on_queued: Callable[[], None]
    ) -> None:
        """Call `on_queued` whenever there is something to publish."""
        self._committer = committer
        self._admission = admission
        self._on_queued = on_queued
        self._earlier = EarlierSubmissions(store)

    async def record(self, submission: Submission) -> Accepted:
        """Record the submission, or return the job that was accepted earlier under its key. Raises ProblemError."""
        try:
            self._admission.admit(submission.model, submission.tenant_id)
        except ProblemError as refusal:
            return await self.earlier(submission, refusal)
        return _accepted(await self._commit(submission))

    async def earlier(self, request: Request, refusal: ProblemError) -> Accepted:
        """Return the job that was accepted under the key of a request that is refused by now.

        Raises `refusal` if there is none, or the key's own problem.
        """
        outcome = await self._earlier.outcome(request)
        if outcome is None:
            raise refusal
        return _accepted(outcome)

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
            raise ProblemError(
                ApiError.INVALID_REQUEST, "The request has a value that the database cannot store. Change it."
            ) from error
        self._on_queued()
        return outcome


def _accepted(outcome: Outcome) -> Accepted:
    match outcome:
        case KeyReused():
            raise ProblemError(
                ApiError.IDEMPOTENCY_KEY_REUSED,
                "This Idempotency-Key was used with another request. Use a new key.",
                field="Idempotency-Key",
            )
        case Gone():
            raise ProblemError(
                ApiError.GONE, "The job of this Idempotency-Key was deleted. Use a new key to submit another job."
            )
        case accepted:
            return accepted
