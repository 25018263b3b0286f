import subprocess

import pytest

from gpu_consumer.models import conversion
from gpu_consumer.models.conversion import Conversion
from gpu_consumer.startup import RenderProcessFailedError


class NotStartedError(Exception):
    """The test starts no child."""


ORDER = Conversion(checkpoint="/none", folder="/none", pipeline="StableDiffusionPipeline", prefixes={}, dtype="float32")


def failure(monkeypatch: pytest.MonkeyPatch, program: str) -> str:
    """Return the message when another program stands in for the conversion."""
    monkeypatch.setattr(conversion, "PROGRAM", program)
    with pytest.raises(RenderProcessFailedError) as failed:
        conversion.convert(ORDER, lambda step: None)
    return failed.value.message


def test_child_that_can_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error for a child that dies before its first event has its exit code and its last output."""
    message = failure(monkeypatch, "gpu_consumer.no_such_program")
    assert message.startswith("The conversion process died (exit code 1); its last output: ")
    assert message.endswith("No module named gpu_consumer.no_such_program.")


def test_child_that_says_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Output that is not an event is quoted in one line."""
    assert failure(monkeypatch, "this") == (
        "The conversion process sent an invalid event: 'The Zen of Python, by Tim Peters'."
    )


def test_child_gets_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The child inherits neither the settings, which contain credentials, nor a GPU."""
    monkeypatch.setenv("DARKROOM_DATABASE_URL", "postgres://secret")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    environment: dict[str, str] = {}

    def note_environment(*_: object, env: dict[str, str], **__: object) -> None:
        environment.update(env)
        raise NotStartedError

    monkeypatch.setattr(subprocess, "Popen", note_environment)
    with pytest.raises(NotStartedError):
        conversion.convert(ORDER, lambda step: None)
    assert not [name for name in environment if name.startswith("DARKROOM_")]
    assert environment["CUDA_VISIBLE_DEVICES"] == ""
