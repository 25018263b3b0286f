import random
from io import BytesIO

import pytest
from PIL import Image

from gpu_consumer.pictures.png_file import write


def noise(width: int, height: int) -> Image.Image:
    return Image.frombytes("RGB", (width, height), random.Random(7).randbytes(3 * width * height))


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (5, 1), (64, 48), (333, 257)])
def test_every_pixel_comes_back(size: tuple[int, int]) -> None:
    """Pixels of any values and sizes are read back exactly, and every checksum holds."""
    pixels = noise(*size)
    with Image.open(BytesIO(write(pixels, {}))) as image:
        image.verify()
    with Image.open(BytesIO(write(pixels, {}))) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        assert image.tobytes() == pixels.tobytes()


@pytest.mark.parametrize("text", ["", "plain", "Kätzchen\nzwei: drei, vier", "日本 🙂", "x" * 20_000])
def test_texts_come_back(text: str) -> None:
    """Texts in any script are found under their keywords, before the pixels."""
    with Image.open(BytesIO(write(noise(2, 2), {"one": text, "two": "2"}))) as image:
        assert image.info == {"one": text, "two": "2"}


def test_latin_texts_are_for_every_tool() -> None:
    """Latin-1 text is in a tEXt chunk, and only other text in an iTXt chunk."""
    assert b"tEXtone\0Gr\xfc\xdfe" in write(noise(2, 2), {"one": "Grüße"})
    assert b"iTXtone\0\0\0\0\0\xe6\x97\xa5" in write(noise(2, 2), {"one": "日"})


def test_smooth_pictures_are_small() -> None:
    """Rows that resemble the ones above compress well."""
    assert len(write(Image.linear_gradient("L").convert("RGB"), {})) < 256 * 256 * 3 / 50
