"""Looks the catalogue's folders over, as a worker does when it starts."""

from pathlib import Path

import msgspec

from darkroom_contracts.models import Model
from gpu_consumer.models.model_folder import ModelFolder, inspect
from gpu_consumer.protocol import Device
from gpu_consumer.startup import ExitCode, StartupCode, StartupError


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker would say of a model's folder when it starts."""

    model: str
    folder: str
    code: StartupCode | None = None
    """Why it would be refused; None when it would be loaded."""
    exit_code: int = 0
    """What the worker would leave with."""
    message: str | None = None
    """The refusal in one sentence."""
    revision: str | None = None
    """Digest of the files that would be loaded."""
    variant: str | None = None
    """`fp16` where half-precision weights would be loaded."""
    manifest_sha256: str | None = None


def folder_of(models_home: str, model: Model) -> Path:
    """Where the model's folder lies or would lie, absolute."""
    return (Path(models_home) / model.path).absolute()


def inspect_model(folder: Path, model: Model, device: Device) -> ModelFolder:
    """Check the folder for what the catalogue says of it. Raises ModelMissingError, ModelRefusedError or a kind."""
    return inspect(
        folder,
        prefer_half=model.dtype_on(device) == "float16",
        pipeline=model.pipeline,
        manifest_sha256=model.manifest_sha256,
        safety_checker=model.safety_checker,
    )


def verify(models_home: str, model: Model, device: Device) -> Verdict:
    """Read every file that a worker on that device would load."""
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
    """The exit code of the first folder that would be refused; None when there is none."""
    return next((ExitCode(verdict.exit_code) for verdict in verdicts if verdict.code), None)
