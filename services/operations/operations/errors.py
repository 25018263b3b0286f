"""The errors of the use cases. Each face translates this tree in one place."""


class OperationsError(Exception):
    """A use case can't do what was asked. The message is for the operator: what happened, then what to do."""


class NotFoundError(OperationsError):
    """What the request names does not exist."""


class InvalidRequestError(OperationsError):
    """The request is invalid in itself."""


class ConflictError(OperationsError):
    """The current state does not allow the request."""
