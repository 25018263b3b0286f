"""What a failed render means for the job and for the process."""

import torch

from contracts.errors import JobErrorCode
from gpu_consumer.render.protocol import FailureKind, RenderFailed

MESSAGE_LIMIT = 500
"""Characters of an exception's text that go onto the job's record."""

# cuDNN, cuBLAS and the CPU allocator report a lack of memory as a plain RuntimeError.
_MEMORY_PHRASES = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
_DEVICE_LOST_PHRASES = ("CUDA error", "CUDNN_STATUS_EXECUTION_FAILED", "CUBLAS_STATUS_EXECUTION_FAILED")


class InputNotRenderableError(ValueError):
    """This model can't render the input."""


class NonFiniteOutputError(ArithmeticError):
    """The model produced NaN or infinity, which would be stored as a black picture."""


class UnsafeOutputError(ValueError):
    """The model's safety checker objected to a picture."""


_OWN: dict[type[Exception], JobErrorCode] = {
    InputNotRenderableError: JobErrorCode.INPUT_NOT_RENDERABLE,
    NonFiniteOutputError: JobErrorCode.NON_FINITE_OUTPUT,
    UnsafeOutputError: JobErrorCode.UNSAFE_OUTPUT,
}
"""Permanent all of them, with a message for the person who asked."""


def classify(error: Exception) -> RenderFailed:
    """The failure that `error` stands for.

    Out of memory is transient: whether it is the job's first time is for the service to count.
    """
    if type(error) in _OWN:
        return RenderFailed(_OWN[type(error)], str(error)[:MESSAGE_LIMIT], "permanent")
    if is_out_of_memory(error):
        return _failed(JobErrorCode.OUT_OF_MEMORY, error, "transient")
    if _is_device_lost(error):
        return _failed(JobErrorCode.RENDER_PROCESS_LOST, error, "fatal")
    return _failed(JobErrorCode.PIPELINE_ERROR, error, "permanent")


def is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(phrase in str(error) for phrase in _MEMORY_PHRASES)


def _is_device_lost(error: Exception) -> bool:
    """After an illegal access or a lost device, every later CUDA call fails too: the process must be replaced."""
    if isinstance(error, torch.AcceleratorError):
        return True
    return isinstance(error, RuntimeError) and any(phrase in str(error) for phrase in _DEVICE_LOST_PHRASES)


def _failed(code: JobErrorCode, error: Exception, kind: FailureKind) -> RenderFailed:
    return RenderFailed(code, f"{type(error).__name__}: {error}"[:MESSAGE_LIMIT], kind)
