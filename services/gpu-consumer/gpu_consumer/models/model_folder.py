"""The checks of a model folder before torch is imported: complete, safetensors only, undamaged.

`from_pretrained` does not check enough: it silently loads weights whose bytes were zeroed and folders without a
tokenizer, falls back to pickled weights, and imports any library that the index names.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, cast, get_args

import msgspec

from darkroom_contracts.models import PipelineClass
from gpu_consumer.models import manifest
from gpu_consumer.models.manifest import SUMS as SUMS
from gpu_consumer.models.model_parts import LIBRARIES, Part, parts_of
from gpu_consumer.models.weights import check_weights
from gpu_consumer.startup import (
    ModelClassError,
    ModelDamagedError,
    ModelIncompleteError,
    ModelMissingError,
    ModelUnsafeError,
)

INDEX = "model_index.json"


class ModelFolder(msgspec.Struct, frozen=True, kw_only=True):
    """A folder that passed the checks."""

    path: Path
    pipeline: PipelineClass
    safety_checker: bool
    variant: str | None
    """`fp16` when the weights to load are named `*.fp16.safetensors`."""
    revision: str
    """Digest of the files to load: `sha256:` and 16 hexadecimal digits."""
    manifest_sha256: str | None
    """Digest of the manifest in hexadecimal; None without a manifest."""


class _ShardIndex(msgspec.Struct):
    weight_map: dict[str, str]
    """Tensor -> name of its file."""


def inspect(
    path: Path,
    *,
    prefer_half: bool,
    pipeline: PipelineClass = "StableDiffusionPipeline",
    manifest_sha256: str | None = None,
    safety_checker: bool = False,
) -> ModelFolder:
    """Check that the folder contains this pipeline, and choose its weights.

    `prefer_half` chooses the fp16 files where both variants exist. Reads every file that will be loaded, following
    links. Raises ModelMissingError, ModelRefusedError or a subclass of either.
    """
    try:
        parts = parts_of(pipeline, safety_checker=safety_checker)
        _check_layout(path, pipeline, parts)
        variant = _choose_variant(path, parts, prefer_half)
        _check_contents(path, parts, variant)
        pinned = manifest.check_pin(path, manifest_sha256)
        digests = manifest.digests_of(path, _files(path, parts, [variant]))
        manifest.check_sums(path, digests)
    except OSError as error:
        raise ModelMissingError(f"The file {error.filename} can't be read: {error.strerror}.") from error
    return ModelFolder(
        path=path,
        pipeline=pipeline,
        safety_checker=safety_checker,
        variant=variant,
        revision=_revision(digests),
        manifest_sha256=pinned,
    )


def write_sums(path: Path) -> None:
    """Write the manifest of all files that a loader can read, including both variants and a safety checker.

    Raises ModelDamagedError or ModelClassError when the folder's index is invalid.
    """
    pipeline = _served(path, _class_name(path, _index(path)))
    parts = [part for part in parts_of(pipeline, safety_checker=True) if (path / part.name).is_dir()]
    (path / SUMS).write_text(manifest.text_of(manifest.digests_of(path, _files(path, parts, [None, "fp16"]))))


def _check_layout(path: Path, pipeline: PipelineClass, parts: tuple[Part, ...]) -> None:
    if not path.is_dir():
        raise ModelMissingError(f"The model folder {path} does not exist.")
    if not (path / INDEX).is_file():
        raise ModelIncompleteError(f"The model folder {path} contains no {INDEX}, so it is not in diffusers' layout.")
    index = _index(path)
    found = _served(path, _class_name(path, index))
    if found != pipeline:
        raise ModelClassError(f"The model in {path} is a {found}, not a {pipeline}.")
    _check_libraries(path, index)
    for part in parts:
        _check_entry(path, part, index.get(part.name))
        _check_part(path, part)


def _index(path: Path) -> dict[str, Any]:
    index = _json(path / INDEX)
    if not isinstance(index, dict):
        raise ModelDamagedError(f"The file {path / INDEX} can't be read: it is not a JSON object.")
    return index


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ModelDamagedError(f"The file {file} can't be read: {error}.") from error


def _class_name(path: Path, index: dict[str, Any]) -> str:
    name = index.get("_class_name")
    if not isinstance(name, str):  # a list names a Python file in the folder
        raise ModelClassError(f"The model in {path} does not name a pipeline class of diffusers.")
    return name


def _served(path: Path, class_name: str) -> PipelineClass:
    served = get_args(PipelineClass)
    if class_name not in served:
        raise ModelClassError(f"The model in {path} is a {class_name}; only {' and '.join(served)} can be served.")
    return cast(PipelineClass, class_name)


def _check_libraries(path: Path, index: dict[str, Any]) -> None:
    for name, entry in index.items():
        library = entry[0] if isinstance(entry, list) and entry else None
        if library is not None and not (isinstance(library, str) and library in LIBRARIES):
            raise ModelUnsafeError(
                f"The model in {path} takes its {name} from the library {library!r}; only "
                f"{', '.join(sorted(LIBRARIES))} are allowed."
            )


def _check_entry(path: Path, part: Part, entry: Any) -> None:
    if not isinstance(entry, list) or len(entry) != 2 or not isinstance(entry[1], str):
        raise ModelIncompleteError(f"The model in {path} has no {part.name} in its {INDEX}.")
    if not part.allows(entry[1]):
        raise ModelClassError(f"The model in {path} has a {entry[1]} as its {part.name}, which is not served.")


def _check_part(path: Path, part: Part) -> None:
    folder = path / part.name
    if not folder.is_dir():
        raise ModelIncompleteError(f"The model folder {path} has no {part.name} folder.")
    missing = part.missing_from({file.name for file in folder.iterdir() if file.is_file()})
    if missing:
        raise ModelIncompleteError(f"The folder {folder} lacks {' and '.join(missing)}.")
    if part.stem is not None:
        _check_for_pickles(folder, part)


def _check_for_pickles(folder: Path, part: Part) -> None:
    if _weights(folder, part, None) or _weights(folder, part, "fp16"):
        return
    pickles = sorted(file for file in folder.iterdir() if file.suffix in (".bin", ".ckpt", ".pt", ".pth"))
    if pickles:
        raise ModelUnsafeError(
            f"The weights {pickles[0]} are a pickle, which can run code when loaded; convert them to safetensors."
        )
    raise ModelIncompleteError(f"The folder {folder} contains no weights ({part.stem}.safetensors).")


def _choose_variant(path: Path, parts: tuple[Part, ...], prefer_half: bool) -> str | None:
    choices = ["fp16", None] if prefer_half else [None, "fp16"]
    for variant in choices:
        if all(_weights(path / part.name, part, variant) for part in parts if part.stem):
            return variant
    raise ModelIncompleteError(
        f"The weights in {path} mix variants: every part must have plain ones, or every part fp16 ones."
    )


def _weights(folder: Path, part: Part, variant: str | None) -> list[Path]:
    return [file for file in folder.iterdir() if part.is_weights(file.name, variant)]


def _check_contents(path: Path, parts: tuple[Part, ...], variant: str | None) -> None:
    """Check what needs no reading of gigabytes: JSON syntax, headers of weights, and that every shard exists."""
    for file in (path / name for name in _files(path, parts, [variant])):
        if file.suffix == ".json":
            _json(file)
        elif file.suffix == ".safetensors":
            check_weights(file)
    for part in parts:
        _check_shards(path / part.name, part, variant)


def _check_shards(folder: Path, part: Part, variant: str | None) -> None:
    if part.stem is None:
        return
    shards = folder / f"{part.stem}.safetensors.index{'.' + variant if variant else ''}.json"
    if not shards.is_file():
        if all("-of-" in file.name for file in _weights(folder, part, variant)):
            raise ModelIncompleteError(f"The folder {folder} contains shards of weights, but no {shards.name}.")
        return
    for name in _shards_listed(shards):
        if not part.is_weights(name, variant):
            raise ModelUnsafeError(
                f"The file {shards} takes weights from {name!r}, which is not a weights file of the folder."
            )
        if not (folder / name).is_file():
            raise ModelIncompleteError(f"The folder {folder} contains no {name}, a shard of the weights.")


def _shards_listed(file: Path) -> list[str]:
    try:
        listed = msgspec.json.decode(file.read_bytes(), type=_ShardIndex)
    except msgspec.DecodeError as error:
        raise ModelDamagedError(f"The file {file} can't be read: {error}.") from error
    return sorted(set(listed.weight_map.values()))


def _files(path: Path, parts: tuple[Part, ...] | list[Part], variants: list[str | None]) -> list[str]:
    """List every file that loading reads, relative to `path`, sorted."""
    found = [path / INDEX]
    for part in parts:
        found += [file for file in (path / part.name).iterdir() if file.suffix in (".json", ".txt")]
        found += [file for variant in variants for file in _weights(path / part.name, part, variant)]
    return sorted(file.relative_to(path).as_posix() for file in found)


def _revision(digests: manifest.Digests) -> str:
    return f"sha256:{hashlib.sha256(manifest.text_of(digests).encode()).hexdigest()[:16]}"
