"""Reads what a picture file tells of its making, and compares pictures. A file may come from anyone: all is bounded."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import NamedTuple
from xml.sax.saxutils import unescape

from PIL import Image, ImageChops

from darkroom.errors import NotVerifiableError
from darkroom_contracts import pictures
from darkroom_contracts.api import OutputFormat

MAX_FILE_BYTES = 256 * 1024 * 1024
"""More than the largest picture that a Darkroom can store."""
FORMATS: dict[str, OutputFormat] = {"PNG": "png", "JPEG": "jpeg", "WEBP": "webp"}
EXIF_IFD = 0x8769
USER_COMMENT = 0x9286
_TAG = "darkroom:picture"


class Difference(NamedTuple):
    """Between two pictures of one size."""

    pixels: int
    """In all."""
    differing: int
    largest: int
    """Of one channel of one pixel, of 255."""


def read(data: bytes) -> pictures.Picture:
    """How the picture was made. Raises NotVerifiableError."""
    if len(data) > MAX_FILE_BYTES:
        raise NotVerifiableError(f"The file is larger than {MAX_FILE_BYTES // 2**20} MiB, so no picture of a Darkroom.")
    with _opened(data) as image:
        try:
            told = _told(image)
        except pictures.NotAPictureError as error:
            raise NotVerifiableError(f"What the picture tells of its making can't be read: {error}.") from error
        made, found = f"{told.input.width}x{told.input.height}", f"{image.width}x{image.height}"
        if found != made:
            raise NotVerifiableError(f"The picture was altered: it was made {made} pixels large, and is {found}.")
        image.load()  # before a GPU works for a damaged one
    return told


def compare(one: bytes, other: bytes) -> Difference:
    """The difference of two files' pixels. Raises NotVerifiableError when they can't be laid over each other."""
    with _opened(one) as left, _opened(other) as right:
        if left.size != right.size:
            raise NotVerifiableError("The picture that was rendered has another size.")
        red, green, blue = ImageChops.difference(left.convert("RGB"), right.convert("RGB")).split()
    histogram = ImageChops.lighter(ImageChops.lighter(red, green), blue).histogram()
    largest = max(value for value, count in enumerate(histogram) if count)
    return Difference(sum(histogram), sum(histogram[1:]), largest)


@contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    try:
        # Pillow only warns of the smaller decompression bombs, and of damaged metadata, which then is missing.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(BytesIO(data), formats=list(FORMATS)) as image:
                yield image
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise NotVerifiableError("The file is no PNG, JPEG or WebP picture, or it is damaged.") from error


def _told(image: Image.Image) -> pictures.Picture:
    output_format = FORMATS[image.format or ""]
    exact, text = _png_texts(image) if output_format == "png" else _exif_texts(image)
    if exact:
        return pictures.decode(exact)
    if text:
        return pictures.parse_parameters(text, output_format)
    raise NotVerifiableError("The picture tells nothing of its making; was it rendered by a Darkroom?")


def _png_texts(image: Image.Image) -> tuple[str, str]:
    texts = (image.info.get(keyword) for keyword in (pictures.PICTURE_KEYWORD, pictures.PARAMETERS_KEYWORD))
    exact, text = (found if isinstance(found, str) else "" for found in texts)
    return exact, text


def _exif_texts(image: Image.Image) -> tuple[str, str]:
    packet = image.info.get("xmp", b"")
    _, _, rest = packet.decode("utf-8", "replace").partition(f"<{_TAG}>")
    exact, end, _ = rest.partition(f"</{_TAG}>")
    comment = image.getexif().get_ifd(EXIF_IFD).get(USER_COMMENT, b"")
    text = comment.removeprefix(b"UNICODE\0").decode("utf-16-be", "replace") if isinstance(comment, bytes) else ""
    return unescape(exact) if end else "", text
