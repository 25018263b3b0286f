"""Safetensors files that are all header."""

import json
import math
from pathlib import Path


def write_header(file: Path, shapes: dict[str, tuple[int, ...]], metadata: dict[str, str] | None = None) -> Path:
    """Write a sparse safetensors file of float16 zeros, which takes almost no disk space."""
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
