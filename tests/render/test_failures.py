import pytest
import torch

from darkroom_contracts.errors import JobErrorCode
from gpu_consumer.protocol import FailureKind
from gpu_consumer.render import memory
from gpu_consumer.render.failures import HIDDEN, MESSAGE_LIMIT, classify, is_out_of_memory


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
        (RuntimeError("Triton Error [CUDA]: an illegal memory access"), JobErrorCode.RENDER_PROCESS_LOST, "fatal"),
        (RuntimeError("CUDA driver error: device not ready"), JobErrorCode.RENDER_PROCESS_LOST, "fatal"),
        (RuntimeError("Triton Error [CUDA]: out of memory"), JobErrorCode.OUT_OF_MEMORY, "transient"),
        (RuntimeError("CUDA driver error: out of memory"), JobErrorCode.OUT_OF_MEMORY, "transient"),
        (ValueError("`height` and `width` have to be divisible"), JobErrorCode.PIPELINE_ERROR, "permanent"),
        (ValueError("CUDA error in a prompt"), JobErrorCode.PIPELINE_ERROR, "permanent"),
    ],
)
def test_classification(error: Exception, code: JobErrorCode, kind: FailureKind) -> None:
    """Out of memory is transient, a lost device is fatal for the process, and any other error is permanent."""
    failure = classify(error)
    assert (failure.code, failure.kind) == (code, kind)
    assert type(error).__name__ in failure.message


@pytest.mark.parametrize(
    "message",
    [
        "Unable to find an engine to execute this computation",
        "GET was unable to find an engine to execute this computation",
        "FIND was unable to find an engine to execute this computation after trying 9 plans",
    ],
)
def test_a_missing_engine_is_a_lack_of_memory_where_memory_is_scarce(
    message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing cuDNN engine counts as out of memory only if free memory is low."""
    error = RuntimeError(message)
    monkeypatch.setattr(memory, "free_share", lambda: 0.02)
    assert is_out_of_memory(error)
    assert classify(error).code is JobErrorCode.OUT_OF_MEMORY
    monkeypatch.setattr(memory, "free_share", lambda: 0.5)
    assert not is_out_of_memory(error)
    assert classify(error).code is JobErrorCode.PIPELINE_ERROR


def test_scarce_memory_explains_no_other_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """With full memory, an unrelated error is not classified as out of memory."""
    monkeypatch.setattr(memory, "free_share", lambda: 0.0)
    assert classify(RuntimeError("shape mismatch")).code is JobErrorCode.PIPELINE_ERROR


def test_real_allocation_failure() -> None:
    """The CPU allocator's error, a plain RuntimeError, counts as out of memory."""
    with pytest.raises(RuntimeError) as refusal:
        torch.empty(2**62, dtype=torch.uint8)
    assert classify(refusal.value).code is JobErrorCode.OUT_OF_MEMORY


def test_messages_are_bounded() -> None:
    """A long exception text is truncated before it is stored on the job."""
    assert len(classify(ValueError("x" * 10_000)).message) == MESSAGE_LIMIT


PROMPT, NEGATIVE = "an old lighthouse,\n50% fog", "a cat"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"can't encode {PROMPT}", f"can't encode {HIDDEN}"),
        (f"can't encode {PROMPT!r}", f"can't encode '{HIDDEN}'"),
        ("'lighthouse'", f"'{HIDDEN}'"),
        ("can't find 'lighthouse'", f"can't find '{HIDDEN}'"),
        (f"no {NEGATIVE}: {NEGATIVE}", f"no {HIDDEN}: {HIDDEN}"),
        ("concatenate", "concatenate"),
        ("expected 'float16', got \"float32\"", "expected 'float16', got \"float32\""),
    ],
)
def test_a_prompt_is_in_no_message(text: str, shown: str) -> None:
    """Plain, escaped, or a word of it in quotes; other words stay. It is removed before the text is cut."""
    failed = classify(ValueError(text), (PROMPT, NEGATIVE, ""))
    assert failed.message == f"ValueError: {shown}"[:MESSAGE_LIMIT]


def test_a_cut_message_holds_no_beginning_of_a_prompt() -> None:
    """The limit may fall within the prompt."""
    failed = classify(ValueError("x " * 240 + PROMPT), (PROMPT,))
    assert "lighthouse" not in failed.message
    assert HIDDEN[0] in failed.message
