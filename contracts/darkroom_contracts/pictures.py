"""Provenance stored in each picture: `parameters`, a text for other tools, and a Picture, which is exact.

Both depend on the input and on what rendered it, never on ids or times of the job, so the same input gives the same
file. `parameters` is the text that common Stable Diffusion tools write and read; it is ambiguous where a prompt looks
like settings. docs/pictures.md says where PNG, JPEG and WebP files contain each of them.
"""

import json
import re
from typing import Annotated

import msgspec
from msgspec import Meta

from darkroom_contracts.api import MAX_SEED, Execution, JobInput, NegativePrompt, OutputFormat, Prompt

PARAMETERS_KEYWORD = "parameters"
"""Keyword of the PNG text chunk with `parameters`."""
PICTURE_KEYWORD = "darkroom"
"""Keyword of the PNG text chunk with a Picture."""

SAMPLERS = {
    "ddim": "DDIM",
    "euler": "Euler",
    "euler_a": "Euler a",
    "dpmpp_2m": "DPM++ 2M",
    "dpmpp_2m_karras": "DPM++ 2M Karras",
    "unipc": "UniPC",
    "lcm": "LCM",
    "pndm": "PLMS",
    "heun": "Heun",
}
"""The common tools' names of the schedulers."""

_SETTING = re.compile(r'\s*(\w[\w \-/]*):\s*("(?:\\.|[^\\"])*"|[^,]*)(?:,|$)')
_FEWEST_SETTINGS = 3
_NEGATIVE = "Negative prompt:"


class PictureInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The input of one picture: that of its job, with its own seed. Bounded, since a file may contain anything."""

    prompt: Prompt
    negative_prompt: NegativePrompt = ""
    num_inference_steps: Annotated[int, Meta(ge=1, le=1000)]
    guidance_scale: Annotated[float, Meta(ge=0, le=100)]
    scheduler: Annotated[str, Meta(max_length=32)]
    width: Annotated[int, Meta(ge=8, le=8192)]
    height: Annotated[int, Meta(ge=8, le=8192)]
    seed: Annotated[int, Meta(ge=0, le=MAX_SEED)]
    output_format: OutputFormat = "png"


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """What rendered a picture, as far as it affects the pixels."""

    model_revision: str
    dtype: str
    device: str
    versions: dict[str, str]
    """Versions by library."""
    tiled: bool = False
    """Whether the picture was decoded in tiles."""
    vae_dtype: str | None = None
    """Type that the VAE decoded this picture in; None if unknown."""
    batch_size: int | None = None
    """Number of pictures that were rendered together, this one included; None if unknown."""
    execution: Execution | None = None
    """None if unknown."""


class Picture(msgspec.Struct, frozen=True, tag_field="type", tag="darkroom.picture.v1"):
    """Everything needed to render a picture again, and to explain differences."""

    model: Annotated[str, Meta(max_length=64)]
    input: PictureInput
    origin: Origin | None
    """None if only `parameters` were found."""


class NotAPictureError(ValueError):
    """The text does not describe how a picture was rendered."""


_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(Picture)


def encode(picture: Picture) -> str:
    """Return JSON, the same text for equal pictures."""
    return _encoder.encode(picture).decode()


def decode(text: str) -> Picture:
    """Decode JSON from any source. Raises NotAPictureError."""
    try:
        return _decoder.decode(text.encode())
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise NotAPictureError(str(error)) from error


def picture_of(model: str, wanted: JobInput, seed: int, origin: Origin) -> Picture:
    """Return what to write into the picture of `wanted` that has this seed."""
    own = PictureInput(
        prompt=wanted.prompt,
        negative_prompt=wanted.negative_prompt,
        num_inference_steps=wanted.num_inference_steps,
        guidance_scale=wanted.guidance_scale,
        scheduler=wanted.scheduler,
        width=wanted.width,
        height=wanted.height,
        seed=seed,
        output_format=wanted.output_format,
    )
    return Picture(model, own, origin)


def parameters(picture: Picture) -> str:
    """Return prompt, negative prompt and settings as AUTOMATIC1111's web UI writes them.

    https://github.com/AUTOMATIC1111/stable-diffusion-webui, modules/infotext_utils.py.
    """
    own = picture.input
    settings = {
        "Steps": own.num_inference_steps,
        "Sampler": SAMPLERS.get(own.scheduler, own.scheduler),
        "CFG scale": f"{own.guidance_scale!r}".removesuffix(".0"),
        "Seed": own.seed,
        "Size": f"{own.width}x{own.height}",
        "Model hash": _short_hash(picture.origin.model_revision) if picture.origin else "",
        "Model": picture.model,
    }
    lines = [own.prompt]
    if own.negative_prompt:
        lines.append(f"{_NEGATIVE} {own.negative_prompt}")
    lines.append(", ".join(f"{name}: {_quoted(str(value))}" for name, value in settings.items() if value != ""))
    return "\n".join(lines)


def parse_parameters(text: str, output_format: OutputFormat) -> Picture:
    """Return the picture that `parameters` describe, without its origin. Raises NotAPictureError."""
    *lines, last = text.strip().split("\n")
    settings = {name: _unquoted(value.strip()) for name, value in _SETTING.findall(last)}
    if len(settings) < _FEWEST_SETTINGS:
        raise NotAPictureError("its last line has no settings")
    prompt, _, negative = "\n".join(lines).partition(f"\n{_NEGATIVE}")
    width, _, height = settings.get("Size", "").partition("x")
    values = {
        "prompt": prompt,
        "negative_prompt": negative.removeprefix(" "),
        "num_inference_steps": settings.get("Steps"),
        "guidance_scale": settings.get("CFG scale"),
        "scheduler": _scheduler(settings.get("Sampler", "")),
        "width": width,
        "height": height,
        "seed": settings.get("Seed"),
        "output_format": output_format,
    }
    try:
        return Picture(settings.get("Model", ""), msgspec.convert(values, PictureInput, strict=False), None)
    except msgspec.ValidationError as error:
        raise NotAPictureError(str(error)) from error


def _scheduler(sampler: str) -> str:
    return next((name for name, common in SAMPLERS.items() if common == sampler), sampler)


def _short_hash(revision: str) -> str:
    """Return the first ten digits, as the common tools do."""
    return revision.removeprefix("sha256:")[:10]


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if re.search(r'[,:\n"]', value) else value


def _unquoted(value: str) -> str:
    if not value.startswith('"'):
        return value
    try:
        return str(json.loads(value))
    except ValueError:
        return value
