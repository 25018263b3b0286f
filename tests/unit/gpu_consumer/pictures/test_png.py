from io import BytesIO
from typing import get_args

import pytest
from PIL import Image

from darkroom_contracts import pictures
from darkroom_contracts.api import JobInput, OutputFormat
from darkroom_contracts.objects import CONTENT_TYPES
from darkroom_contracts.pictures import Origin, Picture, picture_of
from gpu_consumer.pictures.png import EXIF_IFD, USER_COMMENT, encode
from gpu_consumer.protocol import RenderedImage
from tests.support.models import job_input

IMAGE = RenderedImage(2, 1, 8, bytes([255, 0, 0, 0, 0, 255]))
ORIGIN = Origin(model_revision="sha256:0123456789abcdef", dtype="float32", device="cpu", versions={"torch": "2"})


def encoded(wanted: JobInput) -> bytes:
    return encode(IMAGE, wanted, "tiny", ORIGIN)


def told(wanted: JobInput) -> Picture:
    return picture_of("tiny", wanted, IMAGE.seed, ORIGIN)


@pytest.mark.parametrize("prompt", ["a cat", "ein Kätzchen", "🙂 東京\n\n<b>&amp;"])
def test_png_is_lossless_and_tells_what_made_it(prompt: str) -> None:
    """A PNG holds the exact pixels and, in any script, its parameters in the common form and in ours."""
    wanted = job_input(prompt=prompt)
    picture = Image.open(BytesIO(encoded(wanted)))
    assert picture.convert("RGB").tobytes() == IMAGE.rgb
    assert picture.info["parameters"] == pictures.parameters(told(wanted))
    assert pictures.decode(picture.info["darkroom"]) == told(wanted)


def test_same_picture_same_file() -> None:
    """Encoding twice gives the same bytes, so a repeated upload overwrites itself."""
    assert encoded(job_input()) == encoded(job_input())


def test_what_shapes_no_pixel_shapes_no_file() -> None:
    """Neither its siblings nor previews change a picture's file."""
    assert encoded(job_input(num_images=4, preview_every=2, seed=5)) == encoded(job_input(seed=8))


@pytest.mark.parametrize("output_format", get_args(OutputFormat))
def test_formats_are_what_they_say(output_format: OutputFormat) -> None:
    """Every output format of the API encodes to its content type."""
    picture = Image.open(BytesIO(encoded(job_input(output_format=output_format))))
    assert picture.get_format_mimetype() == CONTENT_TYPES[output_format]
    assert picture.size == (2, 1)


@pytest.mark.parametrize("output_format", ["jpeg", "webp"])
def test_exif_tells_the_parameters(output_format: OutputFormat) -> None:
    """JPEG and WebP carry the longest prompt's parameters in their EXIF comment."""
    wanted = job_input(prompt="🙂" * 4000, negative_prompt="é" * 4000, output_format=output_format)
    picture = Image.open(BytesIO(encoded(wanted)))
    comment = picture.getexif().get_ifd(EXIF_IFD)[USER_COMMENT]
    assert comment.removeprefix(b"UNICODE\0").decode("utf-16-be") == pictures.parameters(told(wanted))


@pytest.mark.parametrize("output_format", ["jpeg", "webp"])
@pytest.mark.parametrize("character", ["🙂", "\x01", "<", '"'])
def test_the_longest_prompts_fit(output_format: OutputFormat, character: str) -> None:
    """The longest prompts of characters that grow when written still fit into every format."""
    wanted = job_input(prompt=character * 4000, negative_prompt=character * 4000, output_format=output_format)
    assert Image.open(BytesIO(encoded(wanted))).info["xmp"]
