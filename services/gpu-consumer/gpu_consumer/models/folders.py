"""The checks of the catalogue's model folders, the same as at a worker's start."""

from pathlib import Path

import msgspec

from darkroom_contracts.models import Model
from gpu_consumer.models.model_folder import ModelFolder, inspect
from gpu_consumer.protocol import Device
from gpu_consumer.startup import ExitCode, StartupCode, StartupError


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The result of checking a model folder."""

    model: str
    folder: str
    code: StartupCode | None = None
    """Why a worker would refuse the folder; None when it would load it."""
    exit_code: int = 0
    """The exit code of a worker that refuses the folder."""
    message: str | None = None
    """The refusal in one sentence."""
    revision: str | None = None
    """Digest of the files that a worker would load."""
    variant: str | None = None
    """`fp16` when a worker would load the half-precision weights."""
    manifest_sha256: str | None = None


def folder_of(models_home: str, model: Model) -> Path:
    """Return the absolute path of the model's folder, which need not exist."""
    return (Path(models_home) / model.path).absolute()


def inspect_model(folder: Path, model: Model, device: Device) -> ModelFolder:
    """Check the folder against the catalogue's entry. Raises ModelMissingError, ModelRefusedError or a subclass."""
    return inspect(
        folder,
        prefer_half=model.dtype_on(device) == "float16",
        pipeline=model.pipeline,
        manifest_sha256=model.manifest_sha256,
        safety_checker=model.safety_checker,
    )


def verify(models_home: str, model: Model, device: Device) -> Verdict:
    """Check the model's folder by reading every file that a worker on this device would load."""
    folder = folder_of(models_home, model)
    try:
        found = inspect_model(folder, model, device)
    except StartupError as refusal:
        return Verdict(
            model=model.name,
            folder=str(folder),
            code=refusal.code,
            exit_code=refusal.exit_code,
            message=refusal.message,
        )
    return Verdict(
        model=model.name,
        folder=str(folder),
        revision=found.revision,
        variant=found.variant,
        manifest_sha256=found.manifest_sha256,
    )


def first_refusal(verdicts: list[Verdict]) -> ExitCode | None:
    """Return the exit code for the first refused folder, or None."""
    return next((ExitCode(verdict.exit_code) for verdict in verdicts if verdict.code), None)
