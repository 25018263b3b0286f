"""Picture files as the worker writes them."""

from typing import Any

from darkroom_contracts.api import JobInput
from darkroom_contracts.pictures import Origin
from gpu_consumer.pictures import png
from gpu_consumer.protocol import RenderedImage
from tests.support.models import job_input

SIZE = {"width": 16, "height": 8}
RGB = bytes(range(128)) * 3
ORIGIN = Origin(model_revision="sha256:0123456789abcdef", dtype="float32", device="cpu", versions={"torch": "2"})


def wanted(**changes: Any) -> JobInput:
    return job_input(**(SIZE | changes))


def picture_file(rgb: bytes = RGB, origin: Origin = ORIGIN, model: str = "tiny", **changes: Any) -> bytes:
    """Return a picture with these pixels, made from an input with these changes."""
    made_by = wanted(**changes)
    return png.encode(RenderedImage(SIZE["width"], SIZE["height"], made_by.seed, rgb), made_by, model, origin)


def with_a_pixel_changed(rgb: bytes = RGB, by: int = 1) -> bytes:
    return bytes([rgb[0] ^ by]) + rgb[1:]
