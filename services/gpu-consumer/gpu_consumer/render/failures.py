"""What a failed render means for the job and for the process."""

import torch

from darkroom_contracts.errors import JobErrorCode
from gpu_consumer.protocol import FailureKind, RenderFailed
from gpu_consumer.render import memory

MESSAGE_LIMIT = 500
"""Characters of an exception's text that go onto the job's record."""

# cuDNN, cuBLAS and the CPU allocator report a lack of memory as a plain RuntimeError.
_MEMORY_PHRASES = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
_DEVICE_LOST_PHRASES = (
    "CUDA error",
    "CUDA driver error",
    "Triton Error [CUDA]",
    "CUDNN_STATUS_EXECUTION_FAILED",
    "CUBLAS_STATUS_EXECUTION_FAILED",
)

# torch skips each cuDNN engine whose workspace does not fit and reports only that none is left. The error also has
# causes that more memory does not remove (ATen/native/cudnn/Conv_v8.cpp).
_NO_ENGINE_PHRASES = ("unable to find an engine",)
SCARCE_SHARE = 0.1
"""Free memory below this share of the GPU explains a missing cuDNN engine. The workspaces of a VAE's largest
convolutions take gigabytes."""


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
    """The failure that `error` stands for. Call it while the error is handled, before memory is given back.

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
    """Whether more memory would have helped. Call it while the error is handled, before memory is given back."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    if not isinstance(error, RuntimeError):
        return False
    return _says(error, _MEMORY_PHRASES) or (_says(error, _NO_ENGINE_PHRASES) and memory.free_share() < SCARCE_SHARE)


def _is_device_lost(error: Exception) -> bool:
    """After an illegal access or a lost device, every later CUDA call fails too: the process must be replaced."""
    if isinstance(error, torch.AcceleratorError):
        return True
    return isinstance(error, RuntimeError) and _says(error, _DEVICE_LOST_PHRASES)


def _says(error: Exception, phrases: tuple[str, ...]) -> bool:
    text = str(error).lower()
    return any(phrase.lower() in text for phrase in phrases)


def _failed(code: JobErrorCode, error: Exception, kind: FailureKind) -> RenderFailed:
    return RenderFailed(code, f"{type(error).__name__}: {error}"[:MESSAGE_LIMIT], kind)
