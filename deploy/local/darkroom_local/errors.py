"""What can go wrong while running a stack. Each message is what a person reads."""


class LocalError(Exception):
    """The stack can't do what was asked; the message says why and what to do about it."""


class MissingPartError(LocalError):
    """A program that a part needs is not installed on this machine."""


class ProgramFailedError(LocalError):
    """A program stopped, or was not ready in time."""

    def __init__(self, program: str, message: str) -> None:
        super().__init__(message)
        self.program = program
