"""The families of checkpoints that can be imported, recognised by the names of their tensors."""

from enum import StrEnum
from typing import Literal

from darkroom_contracts.models import PipelineClass
from gpu_consumer.models import foreign
from gpu_consumer.models.checkpoint import Checkpoint
from gpu_consumer.startup import ModelClassError, ModelIncompleteError

PredictionType = Literal["epsilon", "v_prediction"]

UNET = "model.diffusion_model."
_VAES = ("first_stage_model.", "vae.")


class Family(StrEnum):
    """A generation of Stable Diffusion; the value names its published configuration."""

    SD1 = "sd1"
    SD2 = "sd2"
    SDXL = "sdxl"

    @property
    def label(self) -> str:
        return _LABELS[self]

    @property
    def pipeline(self) -> PipelineClass:
        return "StableDiffusionXLPipeline" if self is Family.SDXL else "StableDiffusionPipeline"


_LABELS = {Family.SD1: "Stable Diffusion 1.x", Family.SD2: "Stable Diffusion 2.x", Family.SDXL: "SDXL"}
_TEXT_ENCODERS = {
    Family.SDXL: {
        "text_encoder": "conditioner.embedders.0.transformer.",
        "text_encoder_2": "conditioner.embedders.1.model.",
    },
    Family.SD2: {"text_encoder": "cond_stage_model.model."},
    Family.SD1: {"text_encoder": "cond_stage_model.transformer."},
}
_REFINER = "conditioner.embedders.0.model."
_PREDICTION_TYPES: dict[str, PredictionType] = {
    "epsilon": "epsilon",
    "v": "v_prediction",
    "v_prediction": "v_prediction",
}


def recognise(checkpoint: Checkpoint) -> Family:
    """Return the checkpoint's family.

    Raises ModelClassError for anything that can't be imported, and ModelIncompleteError when a part is missing.
    """
    found = foreign.find(checkpoint)
    if found is not None:
        raise ModelClassError(f"The file {checkpoint.path} contains {found.what}: {found.why}.")
    family = _by_text_encoders(checkpoint)
    if not any(checkpoint.has(prefix) for prefix in _VAES):
        raise ModelIncompleteError(
            f"The file {checkpoint.path} contains no VAE; import a version of the checkpoint with its VAE."
        )
    return family


def prefixes(family: Family, checkpoint: Checkpoint) -> dict[str, str]:
    """Return part -> prefix of its tensors' names, for each part that has weights."""
    vae = next(prefix for prefix in _VAES if checkpoint.has(prefix))
    return {**_TEXT_ENCODERS[family], "unet": UNET, "vae": vae}


def declared_prediction(checkpoint: Checkpoint) -> PredictionType | None:
    """Return the prediction type that the file declares, or None.

    Two declarations are read: a tensor named `v_pred`, a convention of SDXL models that ComfyUI reads too
    (comfy/supported_models.py), and the metadata `modelspec.prediction_type` (Stability AI's ModelSpec 1.0.1).
    """
    if "v_pred" in checkpoint.tensors:
        return "v_prediction"
    return _PREDICTION_TYPES.get(checkpoint.metadata.get("modelspec.prediction_type", "").lower())


def has_zero_terminal_snr(checkpoint: Checkpoint) -> bool:
    """Return whether the file declares a zero terminal SNR: by a tensor named `ztsnr`, which ComfyUI reads too."""
    return "ztsnr" in checkpoint.tensors


def _by_text_encoders(checkpoint: Checkpoint) -> Family:
    for family, encoders in _TEXT_ENCODERS.items():
        if all(checkpoint.has(prefix) for prefix in encoders.values()):
            return family
    if checkpoint.has(_REFINER):
        raise ModelClassError(
            f"The file {checkpoint.path} contains the SDXL refiner, which only refines pictures of the base model; "
            "import the base model."
        )
    raise ModelIncompleteError(
        f"The file {checkpoint.path} contains a UNet without its text encoders; import the whole checkpoint."
    )
