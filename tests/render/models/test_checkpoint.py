import pickle
from pathlib import Path

import pytest
import torch

from gpu_consumer.models.checkpoint import Tensor, read
from gpu_consumer.startup import ExitCode, StartupError
from tests.support.safetensors_headers import write_header


def refusal(file: Path) -> StartupError:
    with pytest.raises(StartupError) as refused:
        read(file)
    assert "\n" not in refused.value.message
    return refused.value


def test_header_is_read(tmp_path: Path) -> None:
    """Names, shapes and metadata are read without the weights."""
    file = write_header(tmp_path / "x.safetensors", {"a.b": (3, 5), "c": ()}, {"modelspec.title": "X"})
    found = read(file)
    assert found.tensors == {"a.b": Tensor("F16", (3, 5)), "c": Tensor("F16", ())}
    assert found.metadata == {"modelspec.title": "X"}
    assert (found.has("a."), found.has("b")) == (True, False)


def test_pickles_of_any_name(tmp_path: Path) -> None:
    """A pickle is refused, whether it is named .ckpt or .safetensors."""
    torch.save({"state_dict": {"a": torch.ones(3)}}, tmp_path / "model.ckpt")
    (tmp_path / "model.safetensors").write_bytes(pickle.dumps({"a": [0.0] * 100}))
    for name in ("model.ckpt", "model.safetensors"):
        refused = refusal(tmp_path / name)
        assert refused.exit_code == ExitCode.MODEL_UNSAFE
        assert "pickle" in refused.message
        assert "import its safetensors version" in refused.message


def test_truncated_file(tmp_path: Path) -> None:
    """A truncated file is refused as damaged."""
    file = write_header(tmp_path / "x.safetensors", {"a": (30,)})
    file.write_bytes(file.read_bytes()[:-1])
    assert refusal(file).exit_code == ExitCode.MODEL_DAMAGED


def test_gguf(tmp_path: Path) -> None:
    """A GGUF file is refused, and the message names its format."""
    (tmp_path / "x.gguf").write_bytes(b"GGUF\x03\x00\x00\x00" + bytes(100))
    refused = refusal(tmp_path / "x.gguf")
    assert (refused.exit_code, "GGUF" in refused.message) == (ExitCode.MODEL_CLASS, True)


def test_what_is_not_a_file(tmp_path: Path) -> None:
    """A folder and a missing file have different messages, and that for a folder names the catalogue."""
    assert "needs no import" in refusal(tmp_path).message
    assert "does not exist" in refusal(tmp_path / "absent").message
    assert refusal(tmp_path / "absent").exit_code == ExitCode.MODEL_MISSING
