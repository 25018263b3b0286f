"""Model configurations, which a checkpoint does not contain: a family's published ones, or those of a folder."""

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
"""The UNet's `sample_size`, in latent cells, of a family's epsilon-predicting models where it differs.

Those of Stable Diffusion 2.x render 512 pixels instead of 768."""


class Architecture(msgspec.Struct, frozen=True, kw_only=True):
    """The configurations of a pipeline's parts."""

    source: str
    """Origin of the configurations, for messages."""
    pipeline: PipelineClass
    scheduler_class: str
    parts: dict[str, Configuration]
    """Part -> configuration, for every part except the tokenizers."""
    pad_tokens: dict[str, str]
    """Tokenizer -> its padding token."""

    @property
    def prediction_type(self) -> str:
        """The UNet's prediction type; `epsilon` is the default of diffusers' schedulers."""
        return str(self.parts["scheduler"].get("prediction_type", "epsilon"))

    @property
    def picture_size(self) -> int:
        """Width and height, in pixels, that the model was trained for."""
        halvings = len(self.parts["vae"]["block_out_channels"]) - 1
        return int(self.parts["unet"]["sample_size"]) << halvings

    def vocabulary_size(self, tokenizer: str) -> int:
        """Return the vocabulary size of the tokenizer's text encoder."""
        return int(self.parts[tokenizer.replace("tokenizer", "text_encoder")]["vocab_size"])


def published(family: Family, predicted: PredictionType | None = None) -> Architecture:
    """Return the family's published configurations, with this prediction type or the family's default one."""
    text = (resources.files("gpu_consumer.models") / "published" / f"{family}.json").read_bytes()
    architecture = msgspec.json.decode(text, type=Architecture)
    if predicted == "epsilon" and family in _EPSILON_SAMPLE_SIZE:
        architecture = _changed(architecture, "unet", sample_size=_EPSILON_SAMPLE_SIZE[family])
    return predicting(architecture, predicted)


def from_folder(folder: Path, family: Family) -> Architecture:
    """Read the configurations of a folder in diffusers' layout, without its weights.

    Raises ModelIncompleteError, ModelDamagedError and ModelClassError.
    """
    index = _read(folder / INDEX)
    if index.get("_class_name") != family.pipeline:
        raise ModelClassError(
            f"The configuration in {folder} is for a {index.get('_class_name')}, but the checkpoint is "
            f"{family.label}, which needs a {family.pipeline}."
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
    """Return the architecture with this prediction type; None changes nothing."""
    return _changed(architecture, "scheduler", prediction_type=predicted) if predicted else architecture


def with_zero_terminal_snr(architecture: Architecture) -> Architecture:
    """Return the architecture with a zero terminal SNR schedule (Lin et al., 2023: rescaled betas, trailing steps)."""
    return _changed(architecture, "scheduler", rescale_betas_zero_snr=True, timestep_spacing="trailing")


def _changed(architecture: Architecture, part: str, **numbers: Any) -> Architecture:
    changed = architecture.parts | {part: architecture.parts[part] | numbers}
    return msgspec.structs.replace(architecture, parts=changed)


def check_fits(checkpoint: Checkpoint, family: Family, architecture: Architecture) -> None:
    """Compare a few dimensions with the checkpoint's header, to find a mismatch before any weight is read.

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
    """Return the name of the token embedding's tensor."""
    names = (name for name in checkpoint.tensors if name.startswith(prefix))
    return next((name for name in names if name.endswith("token_embedding.weight")), None)


def _compare(
    checkpoint: Checkpoint, measure: str, key: str | None, dimension: int, wanted: Any, family: Family
) -> None:
    """Raise ModelRefusedError if a tensor's dimension differs. The conversion reports missing tensors."""
    shape = checkpoint.tensors[key].shape if key in checkpoint.tensors else ()
    if len(shape) > dimension and shape[dimension] != wanted:
        raise ModelRefusedError(
            f"The checkpoint {checkpoint.path} looks like {family.label}, but has other dimensions: {measure} "
            f"{shape[dimension]} instead of {wanted}; pass a folder with the model's own configuration as --config."
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
    """Read a part's configuration without its `_` keys: the part's class is fixed here, never by a file."""
    content = _read(folder / part.name / part.needs[0])
    return {key: value for key, value in content.items() if not key.startswith("_")}


def _scheduler_class(folder: Path, index: dict[str, Any]) -> str:
    entry = index.get("scheduler")
    name = entry[1] if isinstance(entry, list) and len(entry) == 2 else None
    if not (isinstance(name, str) and name.isidentifier() and name.endswith("Scheduler")):
        raise ModelIncompleteError(f"The configuration in {folder} names no scheduler.")
    return name


def _check_numbers(folder: Path, architecture: Architecture) -> None:
    """Raise ModelDamagedError unless the values that this package reads are present."""
    try:
        for name, part in architecture.parts.items():
            if name.startswith("text_encoder"):
                int(part["vocab_size"]), int(part["hidden_size"])
        int(architecture.parts["unet"]["block_out_channels"][0])
        int(architecture.parts["unet"]["cross_attention_dim"])
        int(architecture.picture_size)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ModelDamagedError(f"The configuration in {folder} lacks a required value: {error}.") from error
