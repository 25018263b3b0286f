"""The checks of a safetensors file without loading it: renamed pickles, truncated files, inconsistent headers.

The format (https://github.com/huggingface/safetensors#format): eight bytes, little-endian, with the length of the
header; the header as JSON; then the tensors' bytes, which the header's offsets must cover exactly.
"""

import math
from pathlib import Path

import msgspec

from gpu_consumer.startup import ModelDamagedError, ModelIncompleteError, ModelUnsafeError, StartupError

LENGTH_BYTES = 8
MAX_HEADER_BYTES = 100_000_000
"""The safetensors library's own limit."""
_PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
"""Magic bytes of torch's archives, which contain a pickle, and of plain pickles."""
_LFS_POINTER = b"version https://git-lfs"
_BITS = {"BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16}
_BITS |= {"I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64}


class _Tensor(msgspec.Struct, frozen=True):
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


def check_weights(file: Path) -> None:
    """Check the file by its header. Raises ModelUnsafeError, ModelDamagedError, ModelIncompleteError or OSError."""
    size = file.stat().st_size
    with file.open("rb") as opened:
        start = opened.read(len(_LFS_POINTER))
        length = int.from_bytes(start[:LENGTH_BYTES], "little")
        # Check the format before the magic bytes: a header length of 640 starts like a pickle.
        if start[LENGTH_BYTES : LENGTH_BYTES + 1] != b"{" or length > MAX_HEADER_BYTES:
            raise _other_format(file, start)
        opened.seek(LENGTH_BYTES)
        header = opened.read(length)
    if len(header) < length:
        raise _damaged(file, "it ends within its header")
    _check_offsets(file, _tensors(file, header), size - LENGTH_BYTES - length)


def _other_format(file: Path, start: bytes) -> StartupError:
    if start.startswith(_PICKLES):
        return ModelUnsafeError(
            f"The weights {file} are a pickle, which can run code when loaded, despite their name; convert them to "
            "safetensors."
        )
    if start.startswith(_LFS_POINTER):
        return ModelIncompleteError(f"The file {file} is a Git LFS pointer, not the weights; run `git lfs pull` there.")
    return _damaged(file, "it does not start like a safetensors file")


def _tensors(file: Path, header: bytes) -> list[_Tensor]:
    try:
        entries = msgspec.json.decode(header, type=dict[str, msgspec.Raw])
        return [msgspec.json.decode(raw, type=_Tensor) for name, raw in entries.items() if name != "__metadata__"]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _damaged(file, f"its header can't be read ({error})") from error


def _check_offsets(file: Path, tensors: list[_Tensor], data_bytes: int) -> None:
    """Check that the tensors are contiguous, without gap or overlap, up to the last byte of the file."""
    end = 0
    for tensor in sorted(tensors, key=lambda tensor: tensor.data_offsets):
        begin, following = tensor.data_offsets
        if begin != end or min(tensor.shape, default=0) < 0 or following - begin != _bytes(file, tensor):
            raise _damaged(file, "its header's offsets do not match its tensors")
        end = following
    if end != data_bytes:
        raise _damaged(file, f"it contains {data_bytes} bytes of tensors, but its header describes {end}")


def _bytes(file: Path, tensor: _Tensor) -> int:
    if tensor.dtype not in _BITS:
        raise _damaged(file, f"it contains tensors of the unknown dtype {tensor.dtype[:20]!r}")
    return math.prod(tensor.shape) * _BITS[tensor.dtype] // 8


def _damaged(file: Path, reason: str) -> ModelDamagedError:
    return ModelDamagedError(f"The file {file} is damaged: {reason}.")
