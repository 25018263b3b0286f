"""Read the parameters stored in a picture file, and compare pictures. No file is trusted: every read is bounded."""

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
"""More than the largest picture that Darkroom can store."""
FORMATS: dict[str, OutputFormat] = {"PNG": "png", "JPEG": "jpeg", "WEBP": "webp"}
EXIF_IFD = 0x8769
USER_COMMENT = 0x9286
_TAG = "darkroom:picture"


class Difference(NamedTuple):
    """Difference between two pictures of the same size."""

    pixels: int
    """Number of pixels of each picture."""
    differing: int
    largest: int
    """Largest difference of one channel of one pixel, of 255."""


def read(data: bytes) -> pictures.Picture:
    """Return the parameters and origin stored in the picture. Raises NotVerifiableError."""
    if len(data) > MAX_FILE_BYTES:
        raise NotVerifiableError(
            f"The file is larger than {MAX_FILE_BYTES // 2**20} MiB, and Darkroom stores no such picture."
        )
    with _opened(data) as image:
        try:
            picture = _stored(image)
        except pictures.NotAPictureError as error:
            raise NotVerifiableError(f"The parameters in the picture can't be read: {error}.") from error
        made, found = f"{picture.input.width}x{picture.input.height}", f"{image.width}x{image.height}"
        if found != made:
            raise NotVerifiableError(f"The picture was altered: it was rendered at {made} pixels and now has {found}.")
        image.load()  # raises for a damaged file, before a GPU renders anything
    return picture


def compare(one: bytes, other: bytes) -> Difference:
    """Return the difference between the pixels of two files. Raises NotVerifiableError if their sizes differ."""
    with _opened(one) as left, _opened(other) as right:
        if left.size != right.size:
            raise NotVerifiableError("The picture rendered again has another size.")
        red, green, blue = ImageChops.difference(left.convert("RGB"), right.convert("RGB")).split()
    histogram = ImageChops.lighter(ImageChops.lighter(red, green), blue).histogram()
    largest = max(value for value, count in enumerate(histogram) if count)
    return Difference(sum(histogram), sum(histogram[1:]), largest)


@contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    try:
        # Pillow only warns of smaller decompression bombs, and of damaged metadata, which it then leaves out.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(BytesIO(data), formats=list(FORMATS)) as image:
                yield image
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise NotVerifiableError("The file is not a PNG, JPEG or WebP picture, or it is damaged.") from error


def _stored(image: Image.Image) -> pictures.Picture:
    output_format = FORMATS[image.format or ""]
    exact, text = _png_texts(image) if output_format == "png" else _exif_texts(image)
    if exact:
        return pictures.decode(exact)
    if text:
        return pictures.parse_parameters(text, output_format)
    raise NotVerifiableError(
        "The picture holds no parameters. Only an unaltered picture that Darkroom rendered can be verified."
    )


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
