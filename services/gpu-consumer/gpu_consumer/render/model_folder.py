"""Looks a model's folder over before torch is imported: complete, safetensors only, undamaged.

`from_pretrained` alone would not do: it loads weights whose bytes were zeroed and folders without a tokenizer
silently, and falls back to pickled weights.
"""

import hashlib
from pathlib import Path

import msgspec

from gpu_consumer.startup import ModelMissingError, ModelRefusedError

SUMS = "SHA256SUMS"
"""Optional manifest in the form of sha256sum(1), checked when it is there."""
INDEX = "model_index.json"
COMPONENTS = ("scheduler", "text_encoder", "tokenizer", "unet", "vae")
WITH_WEIGHTS = ("text_encoder", "unet", "vae")


class ModelFolder(msgspec.Struct, frozen=True):
    """A folder that may be loaded."""

    path: Path
    variant: str | None
    """`fp16` when the weights to load are named `*.fp16.safetensors`."""
    revision: str


class _Index(msgspec.Struct):
    class_name: str = msgspec.field(name="_class_name")


def inspect(path: Path, *, prefer_half: bool) -> ModelFolder:
    """Check the folder and choose its weights; `prefer_half` takes the fp16 files where both kinds are there.

    Reads every file that will be loaded. Raises ModelMissingError and ModelRefusedError.
    """
    _check_layout(path)
    variant = _choose_variant(path, prefer_half)
    digests = {file: _digest(path / file) for file in _files(path, variant)}
    _check_sums(path, digests)
    return ModelFolder(path, variant, _revision(digests))


def write_sums(path: Path) -> None:
    """Write the manifest of all files that a loader reads."""
    lines = [f"{_digest(path / file)}  {file}\n" for file in _files(path, None)]
    (path / SUMS).write_text("".join(lines))


def _check_layout(path: Path) -> None:
    if not path.is_dir():
        raise ModelMissingError(f"The model folder {path} does not exist.")
    if not (path / INDEX).is_file():
        raise ModelMissingError(f"The model folder {path} holds no {INDEX}, so it is not in diffusers' layout.")
    _check_kind(path)
    for component in COMPONENTS:
        if not (path / component).is_dir():
            raise ModelMissingError(f"The model folder {path} has no {component} folder.")
    for component in WITH_WEIGHTS:
        _check_weights(path / component)


def _check_kind(path: Path) -> None:
    try:
        index = msgspec.json.decode((path / INDEX).read_bytes(), type=_Index)
    except msgspec.DecodeError as error:
        raise ModelRefusedError(f"The file {path / INDEX} can't be read: {error}.") from error
    if index.class_name != "StableDiffusionPipeline":
        raise ModelRefusedError(f"The model in {path} is a {index.class_name}, not a StableDiffusionPipeline.")


def _check_weights(component: Path) -> None:
    if any(component.glob("*.safetensors")):
        return
    pickles = sorted(component.glob("*.bin")) + sorted(component.glob("*.ckpt"))
    if pickles:
        raise ModelRefusedError(
            f"The weights {pickles[0]} are pickled, which can run code when loaded; convert them to safetensors."
        )
    raise ModelMissingError(f"The folder {component} holds no weights (*.safetensors).")


def _choose_variant(path: Path, prefer_half: bool) -> str | None:
    choices = ["fp16", None] if prefer_half else [None, "fp16"]
    for variant in choices:
        if all(_weights(path / component, variant) for component in WITH_WEIGHTS):
            return variant
    raise ModelRefusedError(f"The weights in {path} are neither all plain nor all of the fp16 variant.")


def _weights(component: Path, variant: str | None) -> list[Path]:
    """The safetensors of one variant, shards (`*.fp16-00001-of-00002.safetensors`) included."""
    return [file for file in component.glob("*.safetensors") if (".fp16" in file.name) == (variant == "fp16")]


def _files(path: Path, variant: str | None) -> list[str]:
    """Every file that loading reads, relative to `path`, sorted."""
    found = [path / INDEX]
    for component in COMPONENTS:
        found += [file for file in (path / component).iterdir() if file.suffix in (".json", ".txt")]
        found += _weights(path / component, variant)
    return sorted(file.relative_to(path).as_posix() for file in found)


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _check_sums(path: Path, digests: dict[str, str]) -> None:
    if not (path / SUMS).is_file():
        return
    lines = (path / SUMS).read_text().splitlines()
    expected = {name.lstrip(" *"): digest for digest, _, name in (line.partition(" ") for line in lines)}
    for file, digest in digests.items():
        if expected.get(file) != digest:
            raise ModelRefusedError(f"The file {path / file} is damaged: its digest is not the one in {SUMS}.")


def _revision(digests: dict[str, str]) -> str:
    lines = "".join(f"{digest}  {file}\n" for file, digest in digests.items())
    return f"sha256:{hashlib.sha256(lines.encode()).hexdigest()[:16]}"
