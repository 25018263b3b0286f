"""Errors that stop a GPU consumer at its start, and their exit codes.

A supervisor, a systemd unit or a Kubernetes event shows the exit code; the message goes to the log. Both the service
and its render process use this module, which imports no torch.
"""

from enum import IntEnum, StrEnum

from chassis.errors import FatalError


class ExitCode(IntEnum):
    """Exit codes of `python -m gpu_consumer`, stable and documented."""

    SETTINGS = 64
    """A setting or the model catalogue is wrong."""
    MODEL_MISSING = 65
    """The model's folder is missing or not readable."""
    DEVICE = 66
    """The configured device is missing."""
    NAME_TAKEN = 67
    """A living worker holds this worker's name."""
    MODEL_UNSAFE = 68
    """The model's files could run code when loaded: pickled weights under any name, or foreign libraries."""
    MODEL_DAMAGED = 69
    """The model's files are truncated or altered, or their manifest differs from the one that the catalogue pins."""
    RENDER_PROCESS = 70
    """The render process died, did not get ready in time, or can't be ended."""
    MODEL_INCOMPLETE = 71
    """A part of the model is missing: a tokenizer, weights, a configuration, a pinned manifest."""
    MODEL_CLASS = 72
    """The model's class is not served, or differs from the catalogue's."""
    MODEL_REFUSED = 73
    """The model's files are valid, but can't be loaded, don't belong together, or fail the warm-up."""
    DEVICE_FAILING = 74
    """Different jobs in a row lost the render process. Restart with a growing pause."""

    @property
    def permanent(self) -> bool:
        """Whether a restart can't help before somebody changes something: a supervisor should not try."""
        return _IS_PERMANENT[self]


# A render process can be lost for reasons that pass: no host memory, a driver's hiccup, a disk too slow for the limit.
_IS_PERMANENT = {
    ExitCode.SETTINGS: True,
    ExitCode.MODEL_MISSING: True,
    ExitCode.DEVICE: True,
    ExitCode.NAME_TAKEN: True,
    ExitCode.MODEL_UNSAFE: True,
    ExitCode.MODEL_DAMAGED: True,
    ExitCode.RENDER_PROCESS: False,
    ExitCode.MODEL_INCOMPLETE: True,
    ExitCode.MODEL_CLASS: True,
    ExitCode.MODEL_REFUSED: True,
    ExitCode.DEVICE_FAILING: False,
}


class StartupCode(StrEnum):
    """The code of a startup failure between the render process and the service, and in the log."""

    MODEL_MISSING = "model_missing"
    MODEL_INCOMPLETE = "model_incomplete"
    MODEL_UNSAFE = "model_unsafe"
    MODEL_DAMAGED = "model_damaged"
    MODEL_CLASS = "model_class"
    MODEL_REFUSED = "model_refused"
    DEVICE_MISSING = "device_missing"
    DEVICE_FAILING = "device_failing"
    RENDER_PROCESS_FAILED = "render_process_failed"
    NAME_TAKEN = "name_taken"


class StartupError(FatalError):
    """The service can't start or go on; the message is one sentence for the person who started it."""

    code: StartupCode
    exit_code: ExitCode

    def __init__(self, message: str) -> None:
        super().__init__(message, code=self.code, exit_code=self.exit_code)
        self.message = message


class ModelMissingError(StartupError):
    """The model's folder is missing or not readable."""

    code = StartupCode.MODEL_MISSING
    exit_code = ExitCode.MODEL_MISSING


class ModelIncompleteError(ModelMissingError):
    """A part of the model's folder is missing."""

    code = StartupCode.MODEL_INCOMPLETE
    exit_code = ExitCode.MODEL_INCOMPLETE


class ModelRefusedError(StartupError):
    """The model's files exist, but can't be loaded, don't belong together, or fail the warm-up."""

    code = StartupCode.MODEL_REFUSED
    exit_code = ExitCode.MODEL_REFUSED


class ModelUnsafeError(ModelRefusedError):
    """The model's files could run code when loaded."""

    code = StartupCode.MODEL_UNSAFE
    exit_code = ExitCode.MODEL_UNSAFE


class ModelDamagedError(ModelRefusedError):
    """The model's files are truncated or altered."""

    code = StartupCode.MODEL_DAMAGED
    exit_code = ExitCode.MODEL_DAMAGED


class ModelClassError(ModelRefusedError):
    """The model's class is not served, or differs from the catalogue's."""

    code = StartupCode.MODEL_CLASS
    exit_code = ExitCode.MODEL_CLASS


class DeviceMissingError(StartupError):
    """The configured device is missing. The CPU is never a fallback."""

    code = StartupCode.DEVICE_MISSING
    exit_code = ExitCode.DEVICE


class DeviceFailingError(StartupError):
    """Different jobs in a row lost the render process: the GPU is suspected."""

    code = StartupCode.DEVICE_FAILING
    exit_code = ExitCode.DEVICE_FAILING


class RenderProcessFailedError(StartupError):
    """The render process died, did not get ready in time, or can't be ended."""

    code = StartupCode.RENDER_PROCESS_FAILED
    exit_code = ExitCode.RENDER_PROCESS


class RenderProcessStuckError(RenderProcessFailedError):
    """The render process survived SIGKILL and still holds the GPU, so another one can't be started."""


class NameTakenError(StartupError):
    """A living worker holds the worker's name."""

    code = StartupCode.NAME_TAKEN
    exit_code = ExitCode.NAME_TAKEN


_ERRORS: dict[StartupCode, type[StartupError]] = {
    error.code: error
    for error in (
        ModelMissingError,
        ModelIncompleteError,
        ModelRefusedError,
        ModelUnsafeError,
        ModelDamagedError,
        ModelClassError,
        DeviceMissingError,
        DeviceFailingError,
        RenderProcessFailedError,
        NameTakenError,
    )
}


def startup_error(code: StartupCode, message: str) -> StartupError:
    """Return the error for a code from the render process."""
    return _ERRORS[code](message)
