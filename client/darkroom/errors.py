"""What can go wrong for a client. The message of each is a sentence for people."""

from uuid import UUID

from darkroom_contracts.api import Problem


class DarkroomError(Exception):
    """Anything that a Client raises."""


class UnreachableError(DarkroomError):
    """The API can't be reached, or did not answer as Darkroom does."""


class ApiError(DarkroomError):
    """The API refused. `problem.code` is stable, `problem.field` names the offending field where there is one."""

    def __init__(self, problem: Problem) -> None:
        detail = problem.detail or problem.title
        told = not problem.field or problem.field in detail
        super().__init__(detail if told else f"{problem.field}: {detail}")
        self.problem = problem


class StillRunningError(DarkroomError):
    """The job did not end in the time that was given for it; it goes on."""

    def __init__(self, job_id: UUID, seconds: float) -> None:
        super().__init__(f"Job {job_id} has not ended within {seconds:g} s; it goes on.")
        self.job_id = job_id


class BrokenDownloadError(DarkroomError):
    """The picture that arrived is not the one that was stored."""


class NotVerifiableError(DarkroomError):
    """The file is no picture that can be rendered again, or the job that should have done so did not succeed."""
