"""Classification of a render's exceptions into job error codes and failure kinds."""

import re
import traceback
from collections.abc import Sequence

import torch

from darkroom_contracts.errors import JobErrorCode
from gpu_consumer.protocol import FailureKind, RenderFailed
from gpu_consumer.render import memory

MESSAGE_LIMIT = 500
"""Maximum length, in characters, of an exception's text stored on the job."""
HIDDEN = "[...]"
"""Stands for a prompt in an exception's text: errors are shown to operators, who see prompts for a reason only."""
_QUOTED = re.compile(r"""(?<!\w)(['"])(.+?)\1(?!\w)""", re.DOTALL)

# cuDNN, cuBLAS and the CPU allocator report out of memory as a plain RuntimeError.
_MEMORY_PHRASES = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
_DEVICE_LOST_PHRASES = (
    "CUDA error",
    "CUDA driver error",
    "Triton Error [CUDA]",
    "CUDNN_STATUS_EXECUTION_FAILED",
    "CUBLAS_STATUS_EXECUTION_FAILED",
)

# torch skips every cuDNN engine whose workspace does not fit in memory, then reports that no engine is left. The error
# also has causes other than memory (ATen/native/cudnn/Conv_v8.cpp).
_NO_ENGINE_PHRASES = ("unable to find an engine",)
SCARCE_SHARE = 0.1
"""Below this share of free GPU memory, a missing cuDNN engine counts as out of memory. The workspaces of a VAE's
largest convolutions take gigabytes."""


class InputNotRenderableError(ValueError):
    """The model can't render the input."""


class NonFiniteOutputError(ArithmeticError):
    """The model produced NaN or infinity, which would be stored as a black picture."""


class UnsafeOutputError(ValueError):
    """The model's safety checker objected to a picture."""


_OWN: dict[type[Exception], JobErrorCode] = {
    InputNotRenderableError: JobErrorCode.INPUT_NOT_RENDERABLE,
    NonFiniteOutputError: JobErrorCode.NON_FINITE_OUTPUT,
    UnsafeOutputError: JobErrorCode.UNSAFE_OUTPUT,
}
"""Permanent failures, whose messages are written for the job's submitter."""


def classify(error: Exception, prompts: Sequence[str] = ()) -> RenderFailed:
    """Return the failure for an exception. Call it inside the `except` block, before memory is released.

    Its message holds none of the prompts. Out of memory is transient here; the service counts how often it happened to
    the job.
    """
    message = without_prompts(str(error), prompts)
    if type(error) in _OWN:
        return RenderFailed(_OWN[type(error)], message[:MESSAGE_LIMIT], FailureKind.PERMANENT)
    message = f"{type(error).__name__}: {message}"[:MESSAGE_LIMIT]
    if is_out_of_memory(error):
        return RenderFailed(JobErrorCode.OUT_OF_MEMORY, message, FailureKind.TRANSIENT)
    if is_device_lost(error):
        return RenderFailed(JobErrorCode.RENDER_PROCESS_LOST, message, FailureKind.FATAL)
    return RenderFailed(JobErrorCode.PIPELINE_ERROR, message, FailureKind.PERMANENT)


def traceback_of(error: Exception, prompts: Sequence[str] = ()) -> str:
    """Return the traceback for the log, without the prompts: its frames, and messages as `classify` returns them."""
    entries = traceback.format_exception(error)
    return "".join(each if each.startswith("  File ") else without_prompts(each, prompts) for each in entries)


def without_prompts(message: str, prompts: Sequence[str]) -> str:
    """Replace prompts by HIDDEN, plain or escaped, and quoted parts of them: libraries quote a token or a word."""
    forms = {form for prompt in prompts if prompt.strip() for form in (prompt, repr(prompt)[1:-1])}
    for form in sorted(forms, key=len, reverse=True):
        message = re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", HIDDEN, message)

    def mask(quoted: re.Match[str]) -> str:
        quote, content = quoted.groups()
        return f"{quote}{HIDDEN}{quote}" if any(content in form for form in forms) else quoted[0]

    return _QUOTED.sub(mask, message)


def is_out_of_memory(error: Exception) -> bool:
    """Return whether the error is due to a lack of memory. Call it before memory is released."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    if not isinstance(error, RuntimeError):
        return False
    return _says(error, _MEMORY_PHRASES) or (_says(error, _NO_ENGINE_PHRASES) and memory.free_share() < SCARCE_SHARE)


def is_device_lost(error: Exception) -> bool:
    """Return whether the CUDA context is lost, so that every later CUDA call would fail too."""
    if isinstance(error, torch.AcceleratorError):
        return True
    return isinstance(error, RuntimeError) and _says(error, _DEVICE_LOST_PHRASES)


def _says(error: Exception, phrases: tuple[str, ...]) -> bool:
    text = str(error).lower()
    return any(phrase.lower() in text for phrase in phrases)
