"""Catalogue entries of imported models, with the usual bounds of their family, written as TOML."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from darkroom_contracts.models import Catalogue, CatalogueError, Dtype, Model, Range, load_catalogue
from gpu_consumer.models.architectures import Architecture
from gpu_consumer.models.families import Family


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """The usual bounds of a family's models on a GPU."""

    schedulers: tuple[str, ...]
    sizes: tuple[str, ...]
    """The first is the default."""
    steps: Range
    guidance_scale: Range
    max_images: int
    max_cost: int


_SD_SCHEDULERS = ("dpmpp_2m_karras", "ddim", "euler", "euler_a", "dpmpp_2m", "unipc", "lcm", "pndm", "heun")
_XL_SCHEDULERS = ("euler", "dpmpp_2m_karras", "ddim", "euler_a", "dpmpp_2m", "unipc", "heun")
_SD_STEPS, _SD_GUIDANCE = Range(1, 150, 25), Range(0, 30, 7.5)
_512 = Bounds(
    schedulers=_SD_SCHEDULERS,
    sizes=("512x512", "512x768", "768x512"),
    steps=_SD_STEPS,
    guidance_scale=_SD_GUIDANCE,
    max_images=8,
    max_cost=160_000_000,  # 8 pictures of 512 x 512 at 76 steps
)
_768 = Bounds(
    schedulers=_SD_SCHEDULERS,
    sizes=("768x768", "768x1024", "1024x768"),
    steps=_SD_STEPS,
    guidance_scale=_SD_GUIDANCE,
    max_images=4,
    max_cost=120_000_000,  # 4 pictures of 768 x 768 at 50 steps
)
_1024 = Bounds(
    schedulers=_XL_SCHEDULERS,
    sizes=("1024x1024", "1152x896", "896x1152"),
    steps=Range(1, 100, 30),
    guidance_scale=Range(0, 30, 5),
    max_images=4,
    max_cost=130_000_000,  # 4 pictures of 1024 x 1024 at 30 steps
)
_BY_SIZE = {(Family.SD1, 512): _512, (Family.SD2, 512): _512, (Family.SD2, 768): _768, (Family.SDXL, 1024): _1024}
_ORDER = {
    name: place
    for place, name in enumerate(
        ("name", "description", "path", "pipeline", "dtype", "manifest_sha256", "schedulers", "sizes")
    )
}
_STEPS_OF_ALL_PICTURES = 50
"""Steps that `max_cost` allows, for a model of an unusual size, when a job asks for `max_images` pictures."""


def draft(*, name: str, path: str, description: str, family: Family, architecture: Architecture, dtype: Dtype) -> Model:
    """Return the catalogue entry of a model, without a pinned manifest. Raises CatalogueError if it is invalid."""
    bounds = _bounds(family, architecture.picture_size)
    pairs = [[int(side) for side in size.split("x")] for size in bounds.sizes]
    content = msgspec.structs.asdict(bounds) | {
        "name": name,
        "description": description,
        "path": path,
        "pipeline": family.pipeline,
        # On a GPU half precision is what a worker takes anyway, and on the CPU it would be slow.
        "dtype": None if dtype == "float16" else dtype,
        "width": _side([width for width, _ in pairs]),
        "height": _side([height for _, height in pairs]),
    }
    try:
        return msgspec.convert(msgspec.to_builtins({"models": [content]}), Catalogue).models[0]
    except ValueError as error:
        raise CatalogueError(f"The catalogue entry would be invalid: {error}.") from error


def to_toml(model: Model) -> str:
    """Return the entry as TOML, without fields that have their default value."""
    fields = {field.name: field for field in msgspec.structs.fields(Model)}
    lines = ["[[models]]"]
    for name in sorted(fields, key=lambda name: _ORDER.get(name, len(_ORDER))):
        value = getattr(model, name)
        if fields[name].required or value != fields[name].default:
            lines.append(f"{name} = {_value(value)}")
    return "\n".join(lines) + "\n"


def check_addable(file: Path, model: Model) -> None:
    """Check, before a long conversion, that the entry can be added. Raises CatalogueError."""
    _existing(load_catalogue(file), file, model)
    if not (os.access(file, os.W_OK) and os.access(file.resolve().parent, os.W_OK)):
        raise CatalogueError(f"No permission to write the model catalogue {file} or its folder.")


def add(file: Path, model: Model) -> bool:
    """Append the entry to the catalogue. Return False if it exists already, even with edited bounds.

    The file is replaced atomically, after the new content was loaded successfully. Raises CatalogueError and leaves the
    file unchanged when another entry has the name or the new content is invalid.
    """
    file = file.resolve()
    existing = _existing(load_catalogue(file), file, model)
    if existing is not None and existing.manifest_sha256 == model.manifest_sha256:
        return False
    if existing is not None:
        raise CatalogueError(
            f"The entry {model.name} of the model catalogue {file} does not pin this manifest; add "
            f'manifest_sha256 = "{model.manifest_sha256}" to it.'
        )
    try:
        _replace(file, f"{file.read_text().rstrip()}\n\n{to_toml(model)}")
    except OSError as error:
        raise CatalogueError(f"The model catalogue {file} can't be written: {error.strerror}.") from error
    return True


def _existing(catalogue: Catalogue, file: Path, model: Model) -> Model | None:
    """Return the entry of the same name. Raises CatalogueError if its folder or class differs."""
    existing = next((entry for entry in catalogue.models if entry.name == model.name), None)
    if existing is not None and (existing.path, existing.pipeline) != (model.path, model.pipeline):
        raise CatalogueError(
            f"The model catalogue {file} has another entry named {model.name} (path {existing.path}); choose another "
            "--name."
        )
    return existing


def _bounds(family: Family, size: int) -> Bounds:
    """Return the family's bounds, or, for a model trained for an unusual size, bounds with that size only."""
    usual = _1024 if family is Family.SDXL else _512
    unusual = msgspec.structs.replace(
        usual, sizes=(f"{size}x{size}",), max_cost=size * size * usual.max_images * _STEPS_OF_ALL_PICTURES
    )
    return _BY_SIZE.get((family, size), unusual)


def _side(values: list[int]) -> Range:
    return Range(min(values), max(values), values[0])


def _value(value: Any) -> str:
    if isinstance(value, Range):
        return f"{{ minimum = {value.minimum:g}, maximum = {value.maximum:g}, default = {value.default:g} }}"
    if isinstance(value, tuple):
        return f"[{', '.join(_value(item) for item in value)}]"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:_}"
    # A JSON string is a TOML string, except that TOML requires DEL to be escaped too.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _replace(file: Path, text: str) -> None:
    """Replace the file atomically, if the new content is a valid catalogue."""
    with tempfile.NamedTemporaryFile("w", dir=file.parent, prefix=f".{file.name}-", delete=False) as written:
        fresh = Path(written.name)
        written.write(text)
    try:
        load_catalogue(fresh)
        fresh.chmod(file.stat().st_mode)
        fresh.rename(file)
    finally:
        fresh.unlink(missing_ok=True)
