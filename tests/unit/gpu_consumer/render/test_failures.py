import pytest
import torch

from contracts.errors import JobErrorCode
from gpu_consumer.render.failures import MESSAGE_LIMIT, classify
from gpu_consumer.render.protocol import FailureKind


@pytest.mark.parametrize(
    ("error", "code", "kind"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."),
            JobErrorCode.OUT_OF_MEMORY,
            "transient",
        ),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), JobErrorCode.OUT_OF_MEMORY, "transient"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED"), JobErrorCode.OUT_OF_MEMORY, "transient"),
        (torch.AcceleratorError("CUDA error: out of memory"), JobErrorCode.OUT_OF_MEMORY, "transient"),
        (MemoryError(), JobErrorCode.OUT_OF_MEMORY, "transient"),
        (torch.AcceleratorError("CUDA error: an illegal memory access"), JobErrorCode.RENDER_PROCESS_LOST, "fatal"),
        (RuntimeError("CUDA error: device-side assert triggered"), JobErrorCode.RENDER_PROCESS_LOST, "fatal"),
        (ValueError("`height` and `width` have to be divisible"), JobErrorCode.PIPELINE_ERROR, "permanent"),
        (ValueError("CUDA error in a prompt"), JobErrorCode.PIPELINE_ERROR, "permanent"),
    ],
)
def test_classification(error: Exception, code: JobErrorCode, kind: FailureKind) -> None:
    """Lack of memory is transient, a lost device fatal for the process, and any other error permanent."""
    failure = classify(error)
    assert (failure.code, failure.kind) == (code, kind)
    assert type(error).__name__ in failure.message


def test_real_allocation_failure() -> None:
    """The CPU allocator's own refusal, a plain RuntimeError, counts as lack of memory."""
    with pytest.raises(RuntimeError) as refusal:
        torch.empty(2**62, dtype=torch.uint8)
    assert classify(refusal.value).code is JobErrorCode.OUT_OF_MEMORY


def test_messages_are_bounded() -> None:
    """An endless exception text is cut before it reaches the job's record."""
    assert len(classify(ValueError("x" * 10_000)).message) == MESSAGE_LIMIT
