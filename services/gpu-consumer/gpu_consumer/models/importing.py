"""The import of a single-file checkpoint into a checked model folder, put in place atomically."""

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
"""Name of the file that marks an imported folder and records its source and options."""

Report = Callable[[str], None]
_BYTES: dict[Dtype, int] = {"float16": 2, "bfloat16": 2, "float32": 4}


class ImportingError(Exception):
    """The checkpoint can't be imported as requested; the message is one sentence."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """An import to run."""

    file: Path
    name: str
    """The model's name in the catalogue."""
    path: str
    """The model's folder, as written in the catalogue."""
    folder: Path
    """The same folder as an absolute path."""
    description: str = ""
    dtype: Dtype = "float16"
    prediction_type: PredictionType | None = None
    """The UNet's prediction type. None uses the file's declaration, the configuration or the family's default, in this
    order."""
    config: Path | None = None
    """A folder with the model's own configuration; None uses the published one."""
    tokenizer: Path | None = None
    """Source of CLIP's vocabulary; None uses the tokenizers of `config`."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A request that passed all checks of the checkpoint's header."""

    checkpoint: Checkpoint
    family: Family
    architecture: Architecture
    tokenizers: skeletons.Tokenizers
    entry: Model
    """The catalogue entry, without a pinned manifest."""


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that determines the bytes of an imported folder, except the versions of the libraries."""

    checkpoint_sha256: str
    skeleton_sha256: str
    """Digest of the configurations and tokenizers."""
    dtype: Dtype


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """Content of the file IMPORTED."""

    checkpoint: str
    """Name of the checkpoint file."""
    recipe: Recipe
    manifest_sha256: str


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """The result of an import."""

    entry: Model
    """The catalogue entry, with the manifest pinned."""
    revision: str
    is_new: bool
    """False when the folder already contained this import, undamaged."""


def plan(request: Request) -> Plan:
    """Check the request and the checkpoint's header, without reading weights.

    Raises StartupError when the file can't be imported, ImportingError when the request is incomplete or the folder is
    in use, and CatalogueError when the catalogue entry would be invalid.
    """
    found = checkpoint.read(request.file)
    family = families.recognise(found)
    architecture = _architecture(request, found, family)
    architectures.check_fits(found, family, architecture)
    tokenizers = skeletons.choose_tokenizers(architecture, request.config, request.tokenizer)
    _check_not_taken(request.folder)
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
    """Import the checkpoint into its folder, unless that was done before, and report each step.

    Raises StartupError when a worker would refuse the model, ImportingError when the folder contains something else,
    and ScratchBusyError when another import into the folder is running.
    """
    request.folder.parent.mkdir(parents=True, exist_ok=True)
    with scratch_beside(request.folder) as scratch:
        fresh = scratch / "new"
        skeletons.write(planned.architecture, planned.tokenizers, fresh)
        report(f"reading {request.file}")
        recipe = _recipe(request, fresh)
        if _is_taken(request.folder):
            return _existing(request.folder, planned.entry, recipe)
        _check_disk_space(request, planned)
        converted = conversion.convert(_conversion(request, planned, fresh), report)
        mark = Mark(checkpoint=request.file.name, recipe=recipe, manifest_sha256=converted.manifest_sha256)
        (fresh / IMPORTED).write_bytes(msgspec.json.format(msgspec.json.encode(mark)) + b"\n")
        fresh.rename(request.folder)
    return _imported(planned.entry, converted.revision, converted.manifest_sha256, is_new=True)


def _architecture(request: Request, found: Checkpoint, family: Family) -> Architecture:
    declared = request.prediction_type or families.declared_prediction(found)
    if request.config is None:
        architecture = architectures.published(family, declared or _default_prediction(found, family))
    else:
        architecture = architectures.predicting(architectures.from_folder(request.config, family), declared)
    return architectures.with_zero_terminal_snr(architecture) if families.has_zero_terminal_snr(found) else architecture


def _default_prediction(found: Checkpoint, family: Family) -> PredictionType:
    if family is Family.SD2:
        raise ImportingError(
            f"The checkpoint {found.path} is {family.label} and does not declare its prediction type; add "
            "--prediction-type v_prediction for a model of 768 pixels, --prediction-type epsilon for one of 512 (base)."
        )
    return "epsilon"


def _is_taken(folder: Path) -> bool:
    return folder.exists() and (not folder.is_dir() or any(folder.iterdir()))


def _check_not_taken(folder: Path) -> None:
    """Raise ImportingError if the folder contains anything but an import."""
    if _is_taken(folder) and not (folder / IMPORTED).is_file():
        raise ImportingError(f"The folder {folder} contains files that were not imported; choose another --path.")


def _check_disk_space(request: Request, planned: Plan) -> None:
    """Raise ImportingError if the file system lacks space for the weights."""
    starts = families.prefixes(planned.family, planned.checkpoint).values()
    needed = planned.checkpoint.numbers(starts) * _BYTES[request.dtype]
    free = shutil.disk_usage(request.folder.parent).free
    if free < needed:
        raise ImportingError(
            f"The disk is too full for {request.folder}: {needed / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB free."
        )


def _recipe(request: Request, skeleton: Path) -> Recipe:
    names = [file.relative_to(skeleton).as_posix() for file in skeleton.rglob("*") if file.is_file()]
    parts = manifest.text_of(manifest.digests_of(skeleton, names))
    return Recipe(
        checkpoint_sha256=manifest.digest(request.file),
        skeleton_sha256=hashlib.sha256(parts.encode()).hexdigest(),
        dtype=request.dtype,
    )


def _existing(folder: Path, entry: Model, recipe: Recipe) -> Imported:
    """Return the import that the folder contains, if it has the same recipe and is undamaged.

    Raises ImportingError for another recipe and StartupError for a damaged folder.
    """
    mark = _mark(folder)
    if mark is None or mark.recipe != recipe:
        raise ImportingError(
            f"The folder {folder} contains an import of another checkpoint or with other options; choose another "
            "--path or remove the folder."
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
