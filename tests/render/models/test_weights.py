import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from gpu_consumer.models.weights import check_weights
from gpu_consumer.startup import ExitCode, StartupError

TENSORS = {"conv": torch.ones(3, 5), "bias": torch.ones(7)}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Write weights with the library."""
    path = tmp_path / "model.safetensors"
    save_file(TENSORS, path)
    return path


def _archived_pickle(file: Path) -> None:
    torch.save(TENSORS, file)


def _bare_pickle(file: Path) -> None:
    file.write_bytes(pickle.dumps({"conv": [0.0] * 100}))


def _older_pickle(file: Path) -> None:
    torch.save(TENSORS, file, _use_new_zipfile_serialization=False)


def _lfs_pointer(file: Path) -> None:
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")


def _cut(count: int) -> Callable[[Path], None]:
    """Keep the first `count` bytes, or remove the last ones if it is negative."""

    def spoil(file: Path) -> None:
        file.write_bytes(file.read_bytes()[:count])

    return spoil


def _lengthen(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"more")


def _length(length: int) -> Callable[[Path], None]:
    """Change the header's length."""

    def spoil(file: Path) -> None:
        file.write_bytes(length.to_bytes(8, "little") + file.read_bytes()[8:])

    return spoil


def _header(**tensors: Any) -> Callable[[Path], None]:
    """Write weights of 8 bytes with this header."""

    def spoil(file: Path) -> None:
        header = json.dumps(tensors).encode()
        file.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))

    return spoil


def _tensor(dtype: str, shape: list[int], *offsets: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


DAMAGED, UNSAFE, INCOMPLETE = ExitCode.MODEL_DAMAGED, ExitCode.MODEL_UNSAFE, ExitCode.MODEL_INCOMPLETE
REFUSALS: dict[str, tuple[Callable[[Path], None], ExitCode, str]] = {
    "archived pickle": (_archived_pickle, UNSAFE, "a pickle, .* despite their name"),
    "bare pickle": (_bare_pickle, UNSAFE, "a pickle, .* despite their name"),
    "older pickle": (_older_pickle, UNSAFE, "a pickle, .* despite their name"),
    "Git LFS pointer": (_lfs_pointer, INCOMPLETE, "git lfs pull"),
    "empty": (_cut(0), DAMAGED, "does not start like a safetensors"),
    "cut in the length": (_cut(5), DAMAGED, "does not start like a safetensors"),
    "cut in the header": (_cut(50), DAMAGED, "it ends within its header"),
    "cut in the tensors": (_cut(-3), DAMAGED, "85 bytes of tensors, but its header describes 88"),
    "lengthened": (_lengthen, DAMAGED, "92 bytes of tensors, but its header describes 88"),
    "huge header": (_length(2**60), DAMAGED, "does not start like a safetensors"),
    "short header": (_length(20), DAMAGED, "header can't be read"),
    "gap": (_header(a=_tensor("F32", [1], 4, 8)), DAMAGED, "offsets do not match"),
    "overlap": (_header(a=_tensor("F32", [1], 0, 4), b=_tensor("F32", [2], 0, 8)), DAMAGED, "offsets do not match"),
    "wrong shape": (_header(a=_tensor("F32", [3], 0, 8)), DAMAGED, "offsets do not match"),
    "negative shape": (_header(a=_tensor("F32", [-1, -2], 0, 8)), DAMAGED, "offsets do not match"),
    "unknown numbers": (_header(a=_tensor("F3", [2], 0, 8)), DAMAGED, "unknown dtype 'F3'"),
    "no tensor": (_header(a=7), DAMAGED, "header can't be read"),
}


@pytest.mark.parametrize(("spoil", "code", "words"), REFUSALS.values(), ids=REFUSALS.keys())
def test_refusals(file: Path, spoil: Callable[[Path], None], code: ExitCode, words: str) -> None:
    """Files that are not valid safetensors are refused in one sentence; the library refuses them too."""
    spoil(file)
    with pytest.raises(StartupError, match=words) as refused:
        check_weights(file)
    assert refused.value.exit_code == code
    assert "\n" not in refused.value.message
    with pytest.raises(SafetensorError), safe_open(file, "pt"):
        """Proves that no file is refused which the library could read."""


@pytest.mark.parametrize("length", [640, 896, 1152])
def test_header_lengths_that_begin_like_pickles(file: Path, length: int) -> None:
    """Weights whose header length starts like a pickle are accepted."""
    header = json.dumps({"a": _tensor("F32", [2], 0, 8)}).encode()
    file.write_bytes(length.to_bytes(8, "little") + header.ljust(length) + bytes(8))
    check_weights(file)


def test_every_kind_of_numbers(file: Path) -> None:
    """Files of the library's own making pass, whatever numbers they hold, none included."""
    kinds = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64, torch.uint8, torch.bool)
    tensors = {str(kind): torch.ones(3, 5, dtype=kind) for kind in kinds}
    save_file(tensors | {"scalar": torch.tensor(1.0), "none": torch.ones(0, 4)}, file, {"format": "pt"})
    check_weights(file)
