"""Why a GPU consumer refuses to start, and the exit code that says so.

A supervisor, a systemd unit or a Kubernetes event shows the exit code; the message goes to the log. Nothing here
imports torch: both the service and its render process use it.
"""

from enum import IntEnum, StrEnum

from chassis.errors import FatalError


class ExitCode(IntEnum):
    """Exit codes of `python -m gpu_consumer`, stable and documented."""

    SETTINGS = 64
    """A setting or the model catalogue is wrong."""
    MODEL_MISSING = 65
    """The model's folder is not there, or not readable."""
    DEVICE = 66
    """The device asked for is not there."""
    NAME_TAKEN = 67
    """A living worker holds this worker's name."""
    MODEL_UNSAFE = 68
    """The model's files could run code when loaded: pickled weights, whatever their name, or foreign libraries."""
    MODEL_DAMAGED = 69
    """The model's files are truncated or altered, or their manifest is not the one that the catalogue pins."""
    RENDER_PROCESS = 70
    """The render process died, did not get ready in time, or can't be ended."""
    MODEL_INCOMPLETE = 71
    """A part of the model is not there: a tokenizer, weights, a configuration, a manifest that is pinned."""
    MODEL_CLASS = 72
    """The model is of a class that is not served, or of another than the catalogue says."""
    MODEL_REFUSED = 73
    """The model's files look right, but can't be loaded, don't belong together, or fail the warm-up."""
    DEVICE_FAILING = 74
    """Different jobs in a row lost the render process. Start again after a pause that grows."""

    @property
    def permanent(self) -> bool:
        """Whether starting again can't help until somebody changes something: a supervisor should not try."""
        return _IS_PERMANENT[self]


# A render process can be lost to what passes: a lack of host memory, a driver's hiccup, a disk too slow for the limit.
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
    """How a startup failure is called between the render process and the service."""

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
    """The model's folder is not there, or not readable."""

    code = StartupCode.MODEL_MISSING
    exit_code = ExitCode.MODEL_MISSING


class ModelIncompleteError(ModelMissingError):
    """A part of the model's folder is not there."""

    code = StartupCode.MODEL_INCOMPLETE
    exit_code = ExitCode.MODEL_INCOMPLETE


class ModelRefusedError(StartupError):
    """The model's files are there, but can't be loaded, don't belong together, or fail the warm-up."""

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
    """The model is of a class that is not served, or of another than the catalogue says."""

    code = StartupCode.MODEL_CLASS
    exit_code = ExitCode.MODEL_CLASS


class DeviceMissingError(StartupError):
    """The device asked for is not there; the CPU is taken only when it is asked for."""

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
    """The render process survived SIGKILL and still holds the GPU: another one can't be started."""


class NameTakenError(StartupError):
    """A living worker holds the name."""

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
    """The error that a `code` from the render process stands for."""
    return _ERRORS[code](message)
