"""Errors of the local stack. Each message is shown to the user as it is."""


class LocalError(Exception):
    """A command failed; the message says why and what to do."""


class MissingPartError(LocalError):
    """A program that a part needs is not installed."""


class ProgramFailedError(LocalError):
    """A program stopped, or was not ready in time."""

    def __init__(self, program: str, message: str) -> None:
        super().__init__(message)
        self.program = program
