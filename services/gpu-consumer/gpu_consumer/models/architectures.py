"""The configurations that a checkpoint does not hold: the published ones of each family, or those of a folder."""

import json
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from darkroom_contracts.models import PipelineClass
from gpu_consumer.models.checkpoint import Checkpoint
from gpu_consumer.models.families import UNET, Family, PredictionType, prefixes
from gpu_consumer.models.foreign import CONV_IN
from gpu_consumer.models.model_folder import INDEX
from gpu_consumer.models.model_parts import Part, parts_of
from gpu_consumer.startup import ModelClassError, ModelDamagedError, ModelIncompleteError, ModelRefusedError

Configuration = dict[str, Any]
_EPSILON_SAMPLE_SIZE = {Family.SD2: 64}
"""Of the models of a family that predict epsilon, in latents, where it differs: those of 2.x make 512 pixels."""


class Architecture(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of each part of a pipeline."""

    source: str
    """Where the numbers are from."""
    pipeline: PipelineClass
    scheduler_class: str
    parts: dict[str, Configuration]
    """The configuration of every part but the tokenizers, by the part's name."""
    pad_tokens: dict[str, str]
    """Tokenizer -> the token that it fills up with."""

    @property
    def prediction_type(self) -> str:
        """What the UNet predicts; diffusers' schedulers take epsilon where the configuration is silent."""
        return str(self.parts["scheduler"].get("prediction_type", "epsilon"))

    @property
    def picture_size(self) -> int:
        """Width and height that the model was trained for, in pixels."""
        halvings = len(self.parts["vae"]["block_out_channels"]) - 1
        return int(self.parts["unet"]["sample_size"]) << halvings

    def vocabulary_size(self, tokenizer: str) -> int:
        """Tokens that the tokenizer's text encoder knows."""
        return int(self.parts[tokenizer.replace("tokenizer", "text_encoder")]["vocab_size"])


def published(family: Family, predicted: PredictionType | None = None) -> Architecture:
    """The family's own numbers, for a UNet that predicts that; without it, as most of the family's do."""
    text = (resources.files("gpu_consumer.models") / "published" / f"{family}.json").read_bytes()
    architecture = msgspec.json.decode(text, type=Architecture)
    if predicted == "epsilon" and family in _EPSILON_SAMPLE_SIZE:
        architecture = _changed(architecture, "unet", sample_size=_EPSILON_SAMPLE_SIZE[family])
    return predicting(architecture, predicted)


def from_folder(folder: Path, family: Family) -> Architecture:
    """The numbers in a folder of diffusers' layout; its weights are not looked at.

    Raises ModelIncompleteError, ModelDamagedError and ModelClassError.
    """
    index = _read(folder / INDEX)
    if index.get("_class_name") != family.pipeline:
        raise ModelClassError(
            f"The configuration in {folder} is of a {index.get('_class_name')}, and the checkpoint is {family.label}, "
            f"which needs a {family.pipeline}."
        )
    parts = [part for part in parts_of(family.pipeline, safety_checker=False) if not part.name.startswith("tokenizer")]
    architecture = Architecture(
        source=str(folder),
        pipeline=family.pipeline,
        scheduler_class=_scheduler_class(folder, index),
        parts={part.name: _configuration(folder, part) for part in parts},
        pad_tokens=published(family).pad_tokens,
    )
    _check_numbers(folder, architecture)
    return architecture


def predicting(architecture: Architecture, predicted: PredictionType | None) -> Architecture:
    """The same, for a UNet that predicts that; None changes nothing."""
    return _changed(architecture, "scheduler", prediction_type=predicted) if predicted else architecture


def with_zero_terminal_snr(architecture: Architecture) -> Architecture:
    """The same, for a UNet that was trained down to pure noise (Lin et al., 2023: betas rescaled, steps trailing)."""
    return _changed(architecture, "scheduler", rescale_betas_zero_snr=True, timestep_spacing="trailing")


def _changed(architecture: Architecture, part: str, **numbers: Any) -> Architecture:
    changed = architecture.parts | {part: architecture.parts[part] | numbers}
    return msgspec.structs.replace(architecture, parts=changed)


def check_fits(checkpoint: Checkpoint, family: Family, architecture: Architecture) -> None:
    """Compare a few telling measures with the header, so that a misfit is found before any weight is read.

    Raises ModelRefusedError. The conversion compares every tensor.
    """
    unet, starts = architecture.parts["unet"], prefixes(family, checkpoint)
    _compare(checkpoint, "UNet channels", CONV_IN, 0, unet["block_out_channels"][0], family)
    key = next((name for name in checkpoint.tensors if name.startswith(UNET) and "attn2.to_k.weight" in name), None)
    _compare(checkpoint, "cross-attention width", key, 1, unet["cross_attention_dim"], family)
    for encoder in (name for name in starts if name.startswith("text_encoder")):
        key = _embedding(checkpoint, starts[encoder])
        configuration = architecture.parts[encoder]
        _compare(checkpoint, f"{encoder} vocabulary", key, 0, configuration["vocab_size"], family)
        _compare(checkpoint, f"{encoder} width", key, 1, configuration["hidden_size"], family)


def _embedding(checkpoint: Checkpoint, prefix: str) -> str | None:
    """The name of the tensor that holds a row for each token."""
    names = (name for name in checkpoint.tensors if name.startswith(prefix))
    return next((name for name in names if name.endswith("token_embedding.weight")), None)


def _compare(
    checkpoint: Checkpoint, measure: str, key: str | None, dimension: int, wanted: Any, family: Family
) -> None:
    """Do nothing for a tensor that is not there: the conversion names what is missing."""
    shape = checkpoint.tensors[key].shape if key in checkpoint.tensors else ()
    if len(shape) > dimension and shape[dimension] != wanted:
        raise ModelRefusedError(
            f"The checkpoint {checkpoint.path} looks like {family.label}, but does not have its measures: {measure} "
            f"{shape[dimension]} instead of {wanted}; name a folder with the model's own configuration with --config."
        )


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_bytes())
    except OSError as error:
        raise ModelIncompleteError(f"The configuration {file} can't be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise ModelDamagedError(f"The configuration {file} can't be read: {error}.") from error
    if not isinstance(content, dict):
        raise ModelDamagedError(f"The configuration {file} can't be read: it is not a JSON object.")
    return content


def _configuration(folder: Path, part: Part) -> Configuration:
    """Without its notes on versions and classes: the classes are fixed here, never by a file."""
    content = _read(folder / part.name / part.needs[0])
    return {key: value for key, value in content.items() if not key.startswith("_")}


def _scheduler_class(folder: Path, index: dict[str, Any]) -> str:
    entry = index.get("scheduler")
    name = entry[1] if isinstance(entry, list) and len(entry) == 2 else None
    if not (isinstance(name, str) and name.isidentifier() and name.endswith("Scheduler")):
        raise ModelIncompleteError(f"The configuration in {folder} names no scheduler.")
    return name


def _check_numbers(folder: Path, architecture: Architecture) -> None:
    """What is read of them before the libraries see them must be there."""
    try:
        for name, part in architecture.parts.items():
            if name.startswith("text_encoder"):
                int(part["vocab_size"]), int(part["hidden_size"])
        int(architecture.parts["unet"]["block_out_channels"][0])
        int(architecture.parts["unet"]["cross_attention_dim"])
        int(architecture.picture_size)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ModelDamagedError(f"The configuration in {folder} lacks a number that is needed: {error}.") from error
