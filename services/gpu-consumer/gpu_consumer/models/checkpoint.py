"""A single-file checkpoint, read by its header alone: names and shapes of the tensors, and what it says of itself."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from gpu_consumer.models.weights import LENGTH_BYTES, check_weights
from gpu_consumer.startup import ModelClassError, ModelDamagedError, ModelMissingError, ModelUnsafeError

_GGUF = b"GGUF"


class Tensor(msgspec.Struct, frozen=True):
    """What the header says of a tensor."""

    dtype: str
    """As safetensors calls it, such as `F16`."""
    shape: tuple[int, ...]


class Checkpoint(msgspec.Struct, frozen=True):
    """A safetensors file whose header fits its size."""

    path: Path
    tensors: dict[str, Tensor]
    metadata: dict[str, str]

    def has(self, prefix: str) -> bool:
        """Whether the name of a tensor begins so."""
        return any(name.startswith(prefix) for name in self.tensors)

    def numbers(self, prefixes: Iterable[str]) -> int:
        """How many numbers the tensors hold whose names begin so."""
        starts = tuple(prefixes)
        return sum(math.prod(tensor.shape) for name, tensor in self.tensors.items() if name.startswith(starts))


def read(path: Path) -> Checkpoint:
    """Read the header. Raises ModelMissingError, ModelIncompleteError, ModelUnsafeError, ModelDamagedError and
    ModelClassError."""
    if not path.is_file():
        raise ModelMissingError(_missing(path))
    try:
        _refuse_gguf(path)
        check_weights(path)
        return _decode(path)
    except ModelUnsafeError as error:
        raise ModelUnsafeError(
            f"The checkpoint {path} is pickled, which can run code when loaded; import its safetensors version."
        ) from error
    except OSError as error:
        raise ModelMissingError(f"The file {path} can't be read: {error.strerror}.") from error


def _missing(path: Path) -> str:
    if path.is_dir():
        return (
            f"{path} is a folder, and a single file is imported; a folder in diffusers' layout needs no import, only "
            "an entry in the catalogue."
        )
    return f"The file {path} does not exist."


def _refuse_gguf(path: Path) -> None:
    with path.open("rb") as opened:
        if opened.read(len(_GGUF)) == _GGUF:
            raise ModelClassError(f"The file {path} is in the GGUF format; import a safetensors version of the model.")


def _decode(path: Path) -> Checkpoint:
    with path.open("rb") as opened:
        length = int.from_bytes(opened.read(LENGTH_BYTES), "little")
        entries: dict[str, Any] = msgspec.json.decode(opened.read(length))
    said = entries.pop("__metadata__", None) or {}
    if not isinstance(said, dict):
        raise ModelDamagedError(f"The file {path} is damaged: its metadata is not an object.")
    return Checkpoint(
        path=path,
        tensors=msgspec.convert(entries, dict[str, Tensor]),
        metadata={key: value for key, value in said.items() if isinstance(value, str)},
    )
