"""Errors of the client. Every message says what happened, then what to do."""

from uuid import UUID

from darkroom_contracts.api import Job, Problem


class DarkroomError(Exception):
    """Base class of all errors that a Client raises."""


class UnreachableError(DarkroomError):
    """The API can't be reached, or the response is not one of a compatible Darkroom."""


class ApiError(DarkroomError):
    """The API refused the request. `problem.code` is stable; `problem.field` names the invalid field, if any."""

    def __init__(self, problem: Problem) -> None:
        detail = problem.detail or problem.title
        is_complete = not problem.field or problem.field in detail
        super().__init__(detail if is_complete else f"{problem.field}: {detail}")
        self.problem = problem


class CutOffError(DarkroomError):
    """A streamed response broke off. What arrived before is complete; more would have followed."""


class NotTextError(DarkroomError):
    """A text of the request is not valid Unicode: a command line or a variable held other bytes than UTF-8."""


class StillRunningError(DarkroomError):
    """The job did not end within the timeout. It continues."""

    def __init__(self, job_id: UUID, seconds: float) -> None:
        super().__init__(f"Job {job_id} has not ended within {seconds:g} s. It continues; wait again, or cancel it.")
        self.job_id = job_id


class BrokenDownloadError(DarkroomError):
    """The picture can't be downloaded, or differs from the stored one."""


class NotVerifiableError(DarkroomError):
    """The file holds no picture with parameters of Darkroom, or the job that rendered it again did not succeed."""


def describe_end(job: Job) -> str:
    """Return a sentence about how an unsuccessful job ended, and why."""
    reason = f": {job.error.message} ({job.error.code})" if job.error else "."
    return f"Job {job.id} ended as {job.status}{reason}"
