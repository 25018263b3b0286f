"""Chooses what to take of a hub's repository: what is loaded, and nothing that could run code."""

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
    """The paths to take, sorted: index, configurations and vocabularies, and one kind of weights.

    Half-precision weights are taken where all parts have them, unless the catalogue wants single precision.
    Raises ModelIncompleteError and ModelUnsafeError when the repository does not hold the model.
    """
    offered = set(paths)
    if INDEX not in offered:
        raise ModelIncompleteError(f"{_source(model)} holds no {INDEX}, so it is not in diffusers' layout.")
    parts = parts_of(model.pipeline, safety_checker=model.safety_checker)
    by_part = _by_part(offered)
    for part in parts:
        _check_part(model, part, by_part[part.name])
    variant = _choose_variant(model, parts, by_part)
    chosen = [f"{part.name}/{name}" for part in parts for name in by_part[part.name] if _is_read(part, name, variant)]
    return sorted([INDEX, *({SUMS} & offered), *chosen])


def _source(model: Model) -> str:
    return f"The repository {model.hub} at {model.revision}"


def _by_part(paths: Iterable[str]) -> dict[str, set[str]]:
    """Names in each folder of the repository's top; a path that leads anywhere else is none of the model's."""
    names: dict[str, set[str]] = defaultdict(set)
    for path in paths:
        folder, _, name = path.partition("/")
        if _PLAIN_NAME.fullmatch(name):
            names[folder].add(name)
    return names


def _check_part(model: Model, part: Part, names: set[str]) -> None:
    lacking = part.lacks(names)
    if lacking:
        raise ModelIncompleteError(f"{_source(model)} holds no {part.name}/{lacking[0]}.")
    if part.stem is None or any(part.is_weights(name, variant) for name in names for variant in (None, "fp16")):
        return
    if any(name.endswith(_PICKLES) for name in names):
        raise ModelUnsafeError(f"{_source(model)} holds its {part.name} as a pickle only, which can run code.")
    raise ModelIncompleteError(f"{_source(model)} holds no weights of its {part.name}.")


def _choose_variant(model: Model, parts: tuple[Part, ...], by_part: dict[str, set[str]]) -> str | None:
    for variant in [None, "fp16"] if model.dtype == "float32" else ["fp16", None]:
        if all(any(part.is_weights(name, variant) for name in by_part[part.name]) for part in parts if part.stem):
            return variant
    raise ModelIncompleteError(f"{_source(model)} has weights neither all plain nor all of the fp16 variant.")


def _is_read(part: Part, name: str, variant: str | None) -> bool:
    return name.endswith((".json", ".txt")) or part.is_weights(name, variant)
