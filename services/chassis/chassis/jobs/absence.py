"""Why a tenant's job, or a picture of it, cannot be found, as problems. No such response is cached."""

from chassis.problems import ProblemError
from darkroom_contracts.errors import ApiError

_HEADERS = {"Cache-Control": "no-store"}


class NoSuchJobError(ProblemError):
    """The tenant has no such job. Another tenant's job is answered in the same way."""

    def __init__(self) -> None:
        super().__init__(
            ApiError.NOT_FOUND,
            "There is no such job. Check its id, and that the API key is its tenant's.",
            headers=_HEADERS,
        )


class JobGoneError(ProblemError):
    """The job was deleted, by its tenant or because of its age."""

    def __init__(self) -> None:
        super().__init__(
            ApiError.GONE, "The job was deleted, or removed because of its age. Submit a new one.", headers=_HEADERS
        )


class NoSuchPictureError(ProblemError):
    """The job has no picture of that index, or not yet."""

    def __init__(self) -> None:
        super().__init__(
            ApiError.NOT_FOUND,
            "The job has no such picture. Read the job: it lists its pictures once it has succeeded.",
            headers=_HEADERS,
        )


class PictureGoneError(ProblemError):
    """The pictures of the job were removed because of their age."""

    def __init__(self) -> None:
        super().__init__(
            ApiError.GONE,
            "The picture was removed because of its age. Retry the job to render it again from the same seed.",
            headers=_HEADERS,
        )
