"""The errors of the use cases. Each face translates this tree in one place."""

from typing import ClassVar
from uuid import UUID

from darkroom_contracts.errors import ApiError


class OperationsError(Exception):
    """A use case can't do what was asked. The message is for the operator: what happened, then what to do."""

    code: ClassVar[ApiError] = ApiError.INTERNAL
    """The code of its problem over HTTP. A subclass may have one of its own."""


class NotFoundError(OperationsError):
    """What the request names does not exist."""

    code = ApiError.NOT_FOUND


class UnknownLetterError(NotFoundError):
    """The dead letter does not exist."""

    def __init__(self, letter_id: UUID) -> None:
        super().__init__(f"There is no dead letter {letter_id}; `darkroom dead-letters list --status any` shows all.")


class InvalidRequestError(OperationsError):
    """The request is invalid in itself."""

    code = ApiError.INVALID_REQUEST


class ConflictError(OperationsError):
    """The current state does not allow the request."""

    code = ApiError.CONFLICT


class CountDiffersError(ConflictError):
    """Another number of dead letters was confirmed than a bulk act is for. Nothing was done."""

    code = ApiError.COUNT_DIFFERS
