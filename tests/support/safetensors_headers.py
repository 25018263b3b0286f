"""Safetensors files that are all header."""

import json
import math
from pathlib import Path


def write_header(file: Path, shapes: dict[str, tuple[int, ...]], metadata: dict[str, str] | None = None) -> Path:
    """A safetensors file of half-precision zeros, without a disk to hold them: the file is sparse."""
    header: dict[str, object] = {"__metadata__": metadata} if metadata else {}
    end = 0
    for name, shape in shapes.items():
        begin, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": (begin, end)}
    encoded = json.dumps(header).encode()
    with file.open("wb") as opened:
        opened.write(len(encoded).to_bytes(8, "little") + encoded)
        opened.truncate(8 + len(encoded) + end)
    return file
