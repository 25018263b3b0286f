import pytest

from gpu_consumer.models import conversion
from gpu_consumer.models.conversion import Conversion
from gpu_consumer.startup import RenderProcessFailedError

ORDER = Conversion(checkpoint="/none", folder="/none", pipeline="StableDiffusionPipeline", prefixes={}, dtype="float32")


def failure(monkeypatch: pytest.MonkeyPatch, program: str) -> str:
    """What is said when another program stands in for the conversion."""
    monkeypatch.setattr(conversion, "PROGRAM", program)
    with pytest.raises(RenderProcessFailedError) as failed:
        conversion.convert(ORDER, lambda step: None)
    return failed.value.message


def test_child_that_can_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that dies before it says anything is told with its exit code and its last words."""
    message = failure(monkeypatch, "gpu_consumer.no_such_program")
    assert message.startswith("The conversion process died (exit code 1); its last output: ")
    assert message.endswith("No module named gpu_consumer.no_such_program.")


def test_child_that_says_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Output that is not an event is told as that, in one line."""
    assert failure(monkeypatch, "this") == (
        "The conversion process sent an invalid event: 'The Zen of Python, by Tim Peters'."
    )


def test_child_gets_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The child sees neither the settings with their credentials nor a GPU, whose memory a worker may need."""
    monkeypatch.setenv("DARKROOM_DATABASE_URL", "postgres://secret")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    environment = conversion._environment()
    assert not [name for name in environment if name.startswith("DARKROOM_")]
    assert environment["CUDA_VISIBLE_DEVICES"] == ""
