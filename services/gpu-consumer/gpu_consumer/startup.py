"""Why a GPU consumer refuses to start, and the exit code that says so.

A supervisor, a systemd unit or a Kubernetes event shows the exit code; the message goes to the log. Nothing here
imports torch: both the service and its render process use it.
"""

from enum import IntEnum, StrEnum


class ExitCode(IntEnum):
    """Exit codes of `python -m gpu_consumer`, stable and documented."""

    SETTINGS = 64
    """A setting or the model catalogue is wrong."""
    MODEL = 65
    """The model's files are missing or were refused."""
    DEVICE = 66
    """The device asked for is not there."""
    NAME_TAKEN = 67
    """A living worker holds this worker's name."""
    RENDER_PROCESS = 70
    """The render process died, or did not get ready in time."""


class StartupCode(StrEnum):
    """How a startup failure is called between the render process and the service."""

    MODEL_MISSING = "model_missing"
    MODEL_REFUSED = "model_refused"
    DEVICE_MISSING = "device_missing"
    RENDER_PROCESS_FAILED = "render_process_failed"
    NAME_TAKEN = "name_taken"


class StartupError(Exception):
    """The service can't start; the message is one sentence for the person who started it."""

    code: StartupCode
    exit_code: ExitCode

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ModelMissingError(StartupError):
    """The model's folder, or a part of it, is not there."""

    code = StartupCode.MODEL_MISSING
    exit_code = ExitCode.MODEL


class ModelRefusedError(StartupError):
    """The model's files are there, but unsafe, damaged, inconsistent or of another kind."""

    code = StartupCode.MODEL_REFUSED
    exit_code = ExitCode.MODEL


class DeviceMissingError(StartupError):
    """The device asked for is not there; the CPU is taken only when it is asked for."""

    code = StartupCode.DEVICE_MISSING
    exit_code = ExitCode.DEVICE


class RenderProcessFailedError(StartupError):
    """The render process died, or did not get ready in time."""

    code = StartupCode.RENDER_PROCESS_FAILED
    exit_code = ExitCode.RENDER_PROCESS


class NameTakenError(StartupError):
    """A living worker holds the name."""

    code = StartupCode.NAME_TAKEN
    exit_code = ExitCode.NAME_TAKEN


_ERRORS: dict[StartupCode, type[StartupError]] = {
    error.code: error for error in (ModelMissingError, ModelRefusedError, DeviceMissingError, RenderProcessFailedError)
}


def startup_error(code: StartupCode, message: str) -> StartupError:
    """The error that a `code` from the render process stands for."""
    return _ERRORS[code](message)
