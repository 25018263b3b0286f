"""The contents of released pictures are pinned: pictures outlive every version of this project."""

import json
import re
from dataclasses import dataclass
from typing import Any, get_args

import msgspec
import pytest

from darkroom_contracts import pictures
from darkroom_contracts.api import Execution
from darkroom_contracts.models import Scheduler
from darkroom_contracts.pictures import NotAPictureError, Origin, Picture, PictureInput

INPUT = PictureInput(
    prompt="a cat, sitting",
    negative_prompt="blur",
    num_inference_steps=20,
    guidance_scale=7.0,
    scheduler="euler_a",
    width=64,
    height=128,
    seed=8,
)
EXECUTION = Execution(
    layout="channels_last",
    compiled=["512x512"],
    cuda_graphs=True,
    attention="AttnProcessor2_0",
    tf32_convolutions=True,
    tf32_products=False,
    cpu_capability="AVX2",
    cpu_threads=None,
)
ORIGIN = Origin(
    model_revision="sha256:0123456789abcdef",
    dtype="float16",
    device="a GPU",
    versions={"torch": "2", "diffusers": "1"},
    vae_dtype="float32",
    batch_size=4,
    execution=EXECUTION,
)
PICTURE = Picture("tiny", INPUT, ORIGIN)
JSON = (
    '{"type":"darkroom.picture.v1","model":"tiny","input":{"prompt":"a cat, sitting","negative_prompt":"blur",'
    '"num_inference_steps":20,"guidance_scale":7.0,"scheduler":"euler_a","width":64,"height":128,"seed":8,'
    '"output_format":"png"},"origin":{"model_revision":"sha256:0123456789abcdef","dtype":"float16","device":"a GPU",'
    '"versions":{"diffusers":"1","torch":"2"},"tiled":false,"vae_dtype":"float32","batch_size":4,"execution":{'
    '"layout":"channels_last","compiled":["512x512"],"cuda_graphs":true,"attention":"AttnProcessor2_0",'
    '"tf32_convolutions":true,"tf32_products":false,"cpu_capability":"AVX2","cpu_threads":null}}}'
)
EARLIER_JSON = (
    '{"type":"darkroom.picture.v1","model":"tiny","input":{"prompt":"a cat, sitting","negative_prompt":"blur",'
    '"num_inference_steps":20,"guidance_scale":7.0,"scheduler":"euler_a","width":64,"height":128,"seed":8,'
    '"output_format":"png"},"origin":{"model_revision":"sha256:0123456789abcdef","dtype":"float16","device":"a GPU",'
    '"versions":{"diffusers":"1","torch":"2"},"tiled":false}}'
)
TEXT = (
    "a cat, sitting\nNegative prompt: blur\n"
    "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 8, Size: 64x128, Model hash: 0123456789, Model: tiny"
)


def with_input(**changes: Any) -> Picture:
    return msgspec.structs.replace(PICTURE, input=msgspec.structs.replace(INPUT, **changes))


def test_the_exact_form_is_pinned() -> None:
    """The record of a picture is exactly this text, with libraries in alphabetical order, and always decodes."""
    assert pictures.encode(PICTURE) == JSON
    assert pictures.decode(JSON) == PICTURE


def test_a_picture_that_tells_less_is_read() -> None:
    """A record from before `execution` was added is read, with that unknown."""
    less = msgspec.structs.replace(ORIGIN, vae_dtype=None, batch_size=None, execution=None)
    assert pictures.decode(EARLIER_JSON) == msgspec.structs.replace(PICTURE, origin=less)


def test_the_common_form_is_pinned() -> None:
    """`parameters` is the text that the common tools write."""
    assert pictures.parameters(PICTURE) == TEXT


@pytest.mark.parametrize(
    "prompt", ["ein Kätzchen 🙂 東京", "two\nlines\r\n\n", "\x01\x7f\ufffe", "Steps: 1, Seed: 2, Size: 1x1"]
)
def test_any_prompt_survives_exactly(prompt: str) -> None:
    """The exact form returns every prompt unchanged."""
    picture = with_input(prompt=prompt, negative_prompt=prompt)
    assert pictures.decode(pictures.encode(picture)) == picture


@dataclass
class Infotext:
    """A reader with the rules of AUTOMATIC1111's modules/infotext_utils.py."""

    prompt: str
    negative: str
    settings: dict[str, str]


def common_reader(text: str) -> Infotext:
    *lines, last = text.strip().split("\n")
    found = re.findall(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)', last)
    if len(found) < 3:
        lines.append(last)
        found = []
    prompts = {True: "", False: ""}
    positive = True
    for line in map(str.strip, lines):
        rest = line
        if line.startswith("Negative prompt:"):
            positive = False
            rest = line[16:].strip()
        prompts[positive] += ("\n" if prompts[positive] else "") + rest
    settings = {name: json.loads(value) if value[:1] == value[-1:] == '"' else value for name, value in found}
    return Infotext(prompts[True], prompts[False], settings)


@pytest.mark.parametrize("model", ["tiny", "a, b: c", 'quoted "name"'])
def test_the_common_tools_read_it(model: str) -> None:
    """A reader with the rules of the most common tool finds prompts and settings, whatever a value contains."""
    picture = msgspec.structs.replace(with_input(prompt="one\ntwo, three"), model=model)
    read = common_reader(pictures.parameters(picture))
    assert (read.prompt, read.negative) == ("one\ntwo, three", "blur")
    assert read.settings == {
        "Steps": "20",
        "Sampler": "Euler a",
        "CFG scale": "7",
        "Seed": "8",
        "Size": "64x128",
        "Model hash": "0123456789",
        "Model": model,
    }


def test_every_scheduler_has_a_common_name() -> None:
    """Every scheduler of the catalogue has a name in the common tools, and no two have the same."""
    assert set(get_args(Scheduler)) <= pictures.SAMPLERS.keys()
    assert len(set(pictures.SAMPLERS.values())) == len(pictures.SAMPLERS)


@pytest.mark.parametrize(
    "changes", [{}, {"negative_prompt": ""}, {"guidance_scale": 7.123456}, {"prompt": "a\nb: c, d"}]
)
def test_the_common_form_is_read_back(changes: dict[str, Any]) -> None:
    """The common form returns model, input and seed, but not the origin."""
    picture = with_input(**changes)
    read = pictures.parse_parameters(pictures.parameters(picture), "png")
    assert read == msgspec.structs.replace(picture, origin=None)


def test_a_quoted_model_is_read_back() -> None:
    """Quotes around a value are removed."""
    picture = msgspec.structs.replace(PICTURE, model="a, b")
    assert pictures.parse_parameters(pictures.parameters(picture), "png").model == "a, b"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a cat",
        "a cat\nSteps: 20",
        "a cat\nSteps: many, Seed: 1, Size: 64x64",
        "a cat\nSteps: 9, Seed: 1, Size: 9e9x1",
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    """A text without settings, or with impossible ones, is refused."""
    with pytest.raises(NotAPictureError):
        pictures.parse_parameters(text, "png")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[" * 100_000,
        JSON.replace("picture.v1", "picture.v9"),
        JSON.replace('"width":64', '"width":1000000'),
        JSON.replace('"seed":8', '"seed":-1'),
        JSON.replace('"seed":8', '"seed":8,"num_images":16'),
        JSON.replace("a cat", r"a\u0000cat"),
    ],
)
def test_records_out_of_bounds_are_refused(text: str) -> None:
    """A record from any source has the bounds of a request."""
    with pytest.raises(NotAPictureError):
        pictures.decode(text)
