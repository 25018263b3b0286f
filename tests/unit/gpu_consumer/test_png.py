from io import BytesIO
from typing import get_args

import pytest
from PIL import Image

from contracts.api import OutputFormat
from contracts.objects import CONTENT_TYPES
from gpu_consumer.png import EXIF_IFD, USER_COMMENT, encode, parameters
from gpu_consumer.render.protocol import RenderedImage
from tests.support.models import job_input

IMAGE = RenderedImage(2, 1, 8, bytes([255, 0, 0, 0, 0, 255]))


def test_parameters_have_the_common_form() -> None:
    """The text names everything that made the picture, in the form that other tools read."""
    wanted = job_input(prompt="a cat", negative_prompt="blur", guidance_scale=7.0, num_inference_steps=20)
    assert parameters(wanted, 8, "tiny") == (
        "a cat\nNegative prompt: blur\nSteps: 20, Sampler: ddim, CFG scale: 7, Seed: 8, Size: 64x64, Model: tiny"
    )


def test_no_line_for_an_absent_negative_prompt() -> None:
    """Without a negative prompt the text has no line for it."""
    assert parameters(job_input(prompt="a cat"), 8, "tiny").startswith("a cat\nSteps: ")


@pytest.mark.parametrize("prompt", ["a cat", "ein Kätzchen 🙂 東京"])
def test_png_is_lossless_and_tells_its_parameters(prompt: str) -> None:
    """A PNG holds the exact pixels and, in any script, the parameters."""
    wanted = job_input(prompt=prompt)
    picture = Image.open(BytesIO(encode(IMAGE, wanted, "tiny")))
    assert picture.convert("RGB").tobytes() == IMAGE.rgb
    assert picture.info["parameters"] == parameters(wanted, IMAGE.seed, "tiny")


def test_same_picture_same_file() -> None:
    """Encoding twice gives the same bytes, so a repeated upload overwrites itself."""
    assert encode(IMAGE, job_input(), "tiny") == encode(IMAGE, job_input(), "tiny")


@pytest.mark.parametrize("output_format", get_args(OutputFormat))
def test_formats_are_what_they_say(output_format: OutputFormat) -> None:
    """Every output format of the API encodes to the content type that is told to clients."""
    picture = Image.open(BytesIO(encode(IMAGE, job_input(output_format=output_format), "tiny")))
    assert picture.get_format_mimetype() == CONTENT_TYPES[output_format]
    assert picture.size == (2, 1)


@pytest.mark.parametrize("output_format", ["jpeg", "webp"])
def test_exif_tells_the_parameters(output_format: OutputFormat) -> None:
    """JPEG and WebP carry the longest prompt's parameters in their EXIF comment."""
    wanted = job_input(prompt="🙂" * 4000, negative_prompt="é" * 4000, output_format=output_format)
    picture = Image.open(BytesIO(encode(IMAGE, wanted, "tiny")))
    comment = picture.getexif().get_ifd(EXIF_IFD)[USER_COMMENT]
    assert comment.removeprefix(b"UNICODE\0").decode("utf-16-be") == parameters(wanted, IMAGE.seed, "tiny")
