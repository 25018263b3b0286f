"""What a picture carries inside it: how it was made, in a form for tools and in one that makes it again.

Both are decided by the input and by what rendered it, and by nothing of the job: no ids, no times. So the same input
gives the same file. `parameters` is the text that the common Stable Diffusion tools write and read; it is ambiguous
where a prompt looks like settings. `Picture` is exact. docs/api.md tells where each lies in a PNG, JPEG or WebP.
"""

import json
import re
from typing import Annotated

import msgspec
from msgspec import Meta

from darkroom_contracts.api import MAX_SEED, Execution, JobInput, NegativePrompt, OutputFormat, Prompt

PARAMETERS_KEYWORD = "parameters"
"""Of the PNG text chunk that holds `parameters`."""
PICTURE_KEYWORD = "darkroom"
"""Of the PNG text chunk that holds a Picture."""

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
"""Scheduler -> what the common tools call it."""

_SETTING = re.compile(r'\s*(\w[\w \-/]*):\s*("(?:\\.|[^\\"])*"|[^,]*)(?:,|$)')
_FEWEST_SETTINGS = 3
_NEGATIVE = "Negative prompt:"


class PictureInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What makes this one picture: a job's input with its own seed. Bounded, since a file may hold anything."""

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
    """What rendered a picture, as far as that shows in its pixels."""

    model_revision: str
    dtype: str
    device: str
    versions: dict[str, str]
    """Library -> version."""
    tiled: bool = False
    """Decoded in tiles."""
    vae_dtype: str | None = None
    """What the VAE decoded this picture in; None where that is unknown."""
    batch_size: int | None = None
    """Pictures that this one was rendered together with, itself included; None where that is unknown."""
    execution: Execution | None = None
    """None where that is unknown."""


class Picture(msgspec.Struct, frozen=True, tag_field="type", tag="darkroom.picture.v1"):
    """All that is needed to render a picture again, and to tell why it came out otherwise."""

    model: Annotated[str, Meta(max_length=64)]
    input: PictureInput
    origin: Origin | None
    """None where only `parameters` were found."""


class NotAPictureError(ValueError):
    """The text does not tell how a picture was made."""


_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(Picture)


def encode(picture: Picture) -> str:
    """As JSON, the same text for the same picture."""
    return _encoder.encode(picture).decode()


def decode(text: str) -> Picture:
    """Raises NotAPictureError, whatever the text is."""
    try:
        return _decoder.decode(text.encode())
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise NotAPictureError(str(error)) from error


def picture_of(model: str, wanted: JobInput, seed: int, origin: Origin) -> Picture:
    """What to write into the picture of `wanted` that has this seed."""
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
    """Prompt, negative prompt and settings, as AUTOMATIC1111's web UI writes them.

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
    """What `parameters` tell, as far as they can. Raises NotAPictureError."""
    *lines, last = text.strip().split("\n")
    settings = {name: _unquoted(value.strip()) for name, value in _SETTING.findall(last)}
    if len(settings) < _FEWEST_SETTINGS:
        raise NotAPictureError("its last line holds no settings")
    prompt, _, negative = "\n".join(lines).partition(f"\n{_NEGATIVE}")
    width, _, height = settings.get("Size", "").partition("x")
    told = {
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
        return Picture(settings.get("Model", ""), msgspec.convert(told, PictureInput, strict=False), None)
    except msgspec.ValidationError as error:
        raise NotAPictureError(str(error)) from error


def _scheduler(sampler: str) -> str:
    return next((name for name, common in SAMPLERS.items() if common == sampler), sampler)


def _short_hash(revision: str) -> str:
    """Ten digits, as those tools shorten theirs."""
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
