"""Makes a checked model folder of a single-file checkpoint: whole, or not at all."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from darkroom_contracts.models import Dtype, Model
from gpu_consumer.models import (
    architectures,
    checkpoint,
    conversion,
    entries,
    families,
    manifest,
    model_folder,
    skeletons,
)
from gpu_consumer.models.architectures import Architecture
from gpu_consumer.models.checkpoint import Checkpoint
from gpu_consumer.models.families import Family, PredictionType
from gpu_consumer.models.scratch import scratch_beside
from gpu_consumer.startup import StartupError

IMPORTED = "IMPORTED"
"""Marks a folder as imported, and holds what from and how; no other folder is taken for the same."""

Report = Callable[[str], None]
_BYTES: dict[Dtype, int] = {"float16": 2, "bfloat16": 2, "float32": 4}


class ImportingError(Exception):
    """The checkpoint can't be imported as it was asked for; the message is one sentence."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What to import, and how."""

    file: Path
    name: str
    """The model's name in the catalogue."""
    path: str
    """Its folder, as the catalogue is to name it."""
    folder: Path
    """Where that is, absolute."""
    description: str = ""
    dtype: Dtype = "float16"
    prediction_type: PredictionType | None = None
    """What the UNet predicts; None takes what the file says, else the configuration, else the family's usual."""
    config: Path | None = None
    """A folder with the model's own configuration; None takes the published one."""
    tokenizer: Path | None = None
    """Where CLIP's vocabulary is read; None takes the tokenizers of `config`."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A request that was found good as far as the checkpoint's header goes."""

    checkpoint: Checkpoint
    family: Family
    architecture: Architecture
    tokenizers: skeletons.Tokenizers
    entry: Model
    """For the catalogue; its manifest is not yet pinned."""


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """All that decides about the bytes of an imported folder, but the versions of the libraries."""

    checkpoint_sha256: str
    skeleton_sha256: str
    """Of the configurations and tokenizers."""
    dtype: Dtype


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """What the file IMPORTED holds."""

    checkpoint: str
    """The file's name."""
    recipe: Recipe
    manifest_sha256: str


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """What is in the folder now."""

    entry: Model
    """For the catalogue, the manifest pinned."""
    revision: str
    is_new: bool
    """False when it was there already, with the same bytes."""


def plan(request: Request) -> Plan:
    """Read the header and decide everything that needs no weights, in moments.

    Raises StartupError when the file is not one that can be imported, ImportingError when the request lacks something
    or the folder is taken, and CatalogueError when the model can't be an entry of a catalogue.
    """
    found = checkpoint.read(request.file)
    family = families.recognise(found)
    architecture = _architecture(request, found, family)
    architectures.check_fits(found, family, architecture)
    tokenizers = skeletons.choose_tokenizers(architecture, request.config, request.tokenizer)
    _check_free(request.folder)
    entry = entries.draft(
        name=request.name,
        path=request.path,
        description=request.description,
        family=family,
        architecture=architecture,
        dtype=request.dtype,
    )
    return Plan(checkpoint=found, family=family, architecture=architecture, tokenizers=tokenizers, entry=entry)


def carry_out(request: Request, planned: Plan, report: Report) -> Imported:
    """Make sure that the folder holds the checkpoint's model, and report each step.

    Raises StartupError when a worker would refuse the model, ImportingError when the folder holds another, and
    ScratchBusyError when another import is at work there.
    """
    request.folder.parent.mkdir(parents=True, exist_ok=True)
    with scratch_beside(request.folder) as scratch:
        fresh = scratch / "new"
        skeletons.write(planned.architecture, planned.tokenizers, fresh)
        report(f"reading {request.file}")
        recipe = _recipe(request, fresh)
        if _is_taken(request.folder):
            return _found(request.folder, planned.entry, recipe)
        _check_room(request, planned)
        converted = conversion.convert(_conversion(request, planned, fresh), report)
        mark = Mark(checkpoint=request.file.name, recipe=recipe, manifest_sha256=converted.manifest_sha256)
        (fresh / IMPORTED).write_bytes(msgspec.json.format(msgspec.json.encode(mark)) + b"\n")
        fresh.rename(request.folder)
    return _imported(planned.entry, converted.revision, converted.manifest_sha256, is_new=True)


def _architecture(request: Request, found: Checkpoint, family: Family) -> Architecture:
    told = request.prediction_type or families.told_prediction(found)
    if request.config is None:
        architecture = architectures.published(family, told or _usual_prediction(found, family))
    else:
        architecture = architectures.predicting(architectures.from_folder(request.config, family), told)
    return architectures.with_zero_terminal_snr(architecture) if families.has_zero_terminal_snr(found) else architecture


def _usual_prediction(found: Checkpoint, family: Family) -> PredictionType:
    if family is Family.SD2:
        raise ImportingError(
            f"The checkpoint {found.path} is {family.label} and does not say what it predicts: add --prediction-type "
            "v_prediction for a model of 768 pixels, --prediction-type epsilon for one of 512 pixels (base)."
        )
    return "epsilon"


def _is_taken(folder: Path) -> bool:
    return folder.exists() and (not folder.is_dir() or any(folder.iterdir()))


def _check_free(folder: Path) -> None:
    """Before long work. Raises ImportingError."""
    if _is_taken(folder) and not (folder / IMPORTED).is_file():
        raise ImportingError(
            f"The folder {folder} holds something that was not imported, and is left alone; choose another --path."
        )


def _check_room(request: Request, planned: Plan) -> None:
    """Before long work. Raises ImportingError."""
    starts = families.prefixes(planned.family, planned.checkpoint).values()
    needed = planned.checkpoint.numbers(starts) * _BYTES[request.dtype]
    free = shutil.disk_usage(request.folder.parent).free
    if free < needed:
        raise ImportingError(
            f"The model needs {needed / 1e9:.1f} GB beside {request.folder}, and {free / 1e9:.1f} GB are free there."
        )


def _recipe(request: Request, skeleton: Path) -> Recipe:
    names = [file.relative_to(skeleton).as_posix() for file in skeleton.rglob("*") if file.is_file()]
    parts = manifest.text_of(manifest.digests_of(skeleton, names))
    return Recipe(
        checkpoint_sha256=manifest.digest(request.file),
        skeleton_sha256=hashlib.sha256(parts.encode()).hexdigest(),
        dtype=request.dtype,
    )


def _found(folder: Path, entry: Model, recipe: Recipe) -> Imported:
    """What is there, if it was made of the same and is undamaged. Raises ImportingError and StartupError."""
    mark = _mark(folder)
    if mark is None or mark.recipe != recipe:
        raise ImportingError(
            f"The folder {folder} holds an import of another checkpoint or with other options, and is left alone; "
            "choose another --path, or remove the folder."
        )
    try:
        found = model_folder.inspect(
            folder, prefer_half=False, pipeline=entry.pipeline, manifest_sha256=mark.manifest_sha256
        )
    except StartupError as refusal:
        raise type(refusal)(f"{refusal.message.rstrip('.')}; remove {folder} and import again.") from refusal
    return _imported(entry, found.revision, mark.manifest_sha256, is_new=False)


def _mark(folder: Path) -> Mark | None:
    try:
        return msgspec.json.decode((folder / IMPORTED).read_bytes(), type=Mark)
    except (OSError, msgspec.DecodeError):
        return None


def _conversion(request: Request, planned: Plan, fresh: Path) -> conversion.Conversion:
    return conversion.Conversion(
        checkpoint=str(request.file.absolute()),
        folder=str(fresh),
        pipeline=planned.family.pipeline,
        prefixes=families.prefixes(planned.family, planned.checkpoint),
        dtype=request.dtype,
    )


def _imported(entry: Model, revision: str, manifest_sha256: str, *, is_new: bool) -> Imported:
    pinned = msgspec.structs.replace(entry, manifest_sha256=manifest_sha256)
    return Imported(entry=pinned, revision=revision, is_new=is_new)
