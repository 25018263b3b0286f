"""The selection of a hub repository's files: only those that are loaded, and none that can run code."""

import re
from collections import defaultdict
from collections.abc import Iterable

from darkroom_contracts.models import Model
from gpu_consumer.models.manifest import SUMS
from gpu_consumer.models.model_folder import INDEX
from gpu_consumer.models.model_parts import Part, parts_of
from gpu_consumer.startup import ModelIncompleteError, ModelUnsafeError

_PLAIN_NAME = re.compile(r"\w[\w.-]*")
_PICKLES = (".bin", ".ckpt", ".pt", ".pth")


def choose(paths: Iterable[str], model: Model) -> list[str]:
    """Return the paths to download, sorted: index, configurations, vocabularies and one variant of the weights.

    Chooses float16 weights if every part has them, unless the catalogue sets dtype float32. Raises ModelIncompleteError
    or ModelUnsafeError when the repository does not contain the model.
    """
    available = set(paths)
    if INDEX not in available:
        raise ModelIncompleteError(f"{_source(model)} contains no {INDEX}, so it is not in diffusers' layout.")
    parts = parts_of(model.pipeline, safety_checker=model.safety_checker)
    by_part = _by_part(available)
    for part in parts:
        _check_part(model, part, by_part[part.name])
    variant = _choose_variant(model, parts, by_part)
    chosen = [f"{part.name}/{name}" for part in parts for name in by_part[part.name] if _is_read(part, name, variant)]
    return sorted([INDEX, *({SUMS} & available), *chosen])


def _source(model: Model) -> str:
    return f"The repository {model.hub} at {model.revision}"


def _by_part(paths: Iterable[str]) -> dict[str, set[str]]:
    """Return top-level folder -> names of its files. Deeper and unusual paths are left out."""
    names: dict[str, set[str]] = defaultdict(set)
    for path in paths:
        folder, _, name = path.partition("/")
        if _PLAIN_NAME.fullmatch(name):
            names[folder].add(name)
    return names


def _check_part(model: Model, part: Part, names: set[str]) -> None:
    missing = part.missing_from(names)
    if missing:
        raise ModelIncompleteError(f"{_source(model)} contains no {part.name}/{missing[0]}.")
    if part.stem is None or any(part.is_weights(name, variant) for name in names for variant in (None, "fp16")):
        return
    if any(name.endswith(_PICKLES) for name in names):
        raise ModelUnsafeError(
            f"{_source(model)} contains its {part.name} only as a pickle, which can run code when loaded."
        )
    raise ModelIncompleteError(f"{_source(model)} contains no weights of its {part.name}.")


def _choose_variant(model: Model, parts: tuple[Part, ...], by_part: dict[str, set[str]]) -> str | None:
    for variant in [None, "fp16"] if model.dtype == "float32" else ["fp16", None]:
        if all(any(part.is_weights(name, variant) for name in by_part[part.name]) for part in parts if part.stem):
            return variant
    raise ModelIncompleteError(
        f"{_source(model)} mixes variants: every part must have plain weights, or every part fp16."
    )


def _is_read(part: Part, name: str, variant: str | None) -> bool:
    return name.endswith((".json", ".txt")) or part.is_weights(name, variant)
