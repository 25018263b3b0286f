"""The header of a single-file checkpoint: names, dtypes and shapes of its tensors, and its metadata."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from gpu_consumer.models.weights import LENGTH_BYTES, check_weights
from gpu_consumer.startup import ModelClassError, ModelDamagedError, ModelMissingError, ModelUnsafeError

_GGUF = b"GGUF"


class Tensor(msgspec.Struct, frozen=True):
    """A tensor's entry in the header."""

    dtype: str
    """The safetensors name, such as `F16`."""
    shape: tuple[int, ...]


class Checkpoint(msgspec.Struct, frozen=True):
    """A safetensors file whose header is consistent with its size."""

    path: Path
    tensors: dict[str, Tensor]
    metadata: dict[str, str]

    def has(self, prefix: str) -> bool:
        """Return whether any tensor's name starts with the prefix."""
        return any(name.startswith(prefix) for name in self.tensors)

    def numbers(self, prefixes: Iterable[str]) -> int:
        """Return the number of elements of all tensors whose names start with one of the prefixes."""
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
            f"The checkpoint {path} is a pickle, which can run code when loaded; import its safetensors version."
        ) from error
    except OSError as error:
        raise ModelMissingError(f"The file {path} can't be read: {error.strerror}.") from error


def _missing(path: Path) -> str:
    if path.is_dir():
        return (
            f"{path} is a folder, but import takes a single file. A folder in diffusers' layout needs no import, only "
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
    metadata = entries.pop("__metadata__", None) or {}
    if not isinstance(metadata, dict):
        raise ModelDamagedError(f"The file {path} is damaged: its metadata is not an object.")
    return Checkpoint(
        path=path,
        tensors=msgspec.convert(entries, dict[str, Tensor]),
        metadata={key: value for key, value in metadata.items() if isinstance(value, str)},
    )
