"""Loads a pipeline from a folder under the startup contract."""

import contextlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers import (
    AutoencoderKL,
    DiffusionPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from transformers import CLIPImageProcessorPil, CLIPTextModel, CLIPTextModelWithProjection

from darkroom_contracts.models import Dtype, PipelineClass
from gpu_consumer.models.model_folder import ModelFolder
from gpu_consumer.models.model_parts import parts_of
from gpu_consumer.protocol import Device
from gpu_consumer.startup import ModelRefusedError

_CLASSES: dict[PipelineClass, type[DiffusionPipeline]] = {
    "StableDiffusionPipeline": StableDiffusionPipeline,
    "StableDiffusionXLPipeline": StableDiffusionXLPipeline,
}
_NETWORKS: dict[str, Any] = {
    "text_encoder": CLIPTextModel,
    "text_encoder_2": CLIPTextModelWithProjection,
    "unet": UNet2DConditionModel,
    "vae": AutoencoderKL,
    "safety_checker": StableDiffusionSafetyChecker,
}
"""The parts that have weights. The folder's index was held to the same classes, except that those of older folders
call the checker's extractor by names that the library has dropped."""

KEYS_NAMED = 3
"""Of the weights that are missing, in a refusal."""


def load_pipeline(folder: ModelFolder, device: Device, dtype: Dtype) -> DiffusionPipeline:
    """Load the folder's pipeline onto the device. Raises ModelRefusedError.

    Its `safety_checker` and `feature_extractor` are there when the folder was inspected for them, else None: what
    may be rendered is for the operator of the service to decide.
    """
    _silence()
    with _refusing(folder.path):
        pipeline = _CLASSES[folder.pipeline].from_pretrained(
            folder.path, local_files_only=True, **(_class_options(folder) | _networks(folder, dtype))
        )
        pipeline.set_progress_bar_config(disable=True)
    for tokenizer, text_encoder in _text_parts(pipeline):
        _check_vocabulary(getattr(pipeline, tokenizer), getattr(pipeline, text_encoder), folder.path / tokenizer)
    with _refusing(folder.path):
        return pipeline.to(device)


def _networks(folder: ModelFolder, dtype: Dtype) -> dict[str, Any]:
    """Every part that has weights, each held to have all of them."""
    parts = parts_of(folder.pipeline, safety_checker=folder.safety_checker)
    return {part.name: _network(folder, part.name, dtype) for part in parts if part.stem}


def _network(folder: ModelFolder, name: str, dtype: Dtype) -> Any:
    network, loading = _NETWORKS[name].from_pretrained(
        folder.path / name,
        dtype=getattr(torch, dtype),
        variant=folder.variant,
        use_safetensors=True,  # otherwise missing weights fall back to pickles
        local_files_only=True,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # they are in the loading info, by name
    )
    _demand_all_weights(folder.path / name, loading)
    return network.eval()


def _demand_all_weights(folder: Path, loading: Mapping[str, Collection[Any]]) -> None:
    """transformers fills weights that the files lack with random ones and warns; what the files hold beyond is left
    alone, since older ones hold buffers that have become code (`position_ids`)."""
    missing = sorted(loading["missing_keys"])
    mismatched = sorted(str(key[0]) for key in loading["mismatched_keys"])
    if missing:
        raise ModelRefusedError(
            f"The weights in {folder} don't match its config.json: {_named(missing)} {_are(missing)} missing."
        )
    if mismatched:
        raise ModelRefusedError(
            f"The weights in {folder} don't match its config.json: {_named(mismatched)} {_are(mismatched)} of another "
            "shape."
        )


def _named(keys: list[str]) -> str:
    more = len(keys) - KEYS_NAMED
    return ", ".join(keys[:KEYS_NAMED]) + (f" and {more} more" if more > 0 else "")


def _are(keys: list[str]) -> str:
    return "is" if len(keys) == 1 else "are"


def _class_options(folder: ModelFolder) -> dict[str, Any]:
    """Components that are given, so that the index has no say in them; SDXL's watermark would alter the pictures."""
    if folder.pipeline == "StableDiffusionXLPipeline":
        return {"image_encoder": None, "feature_extractor": None, "add_watermarker": False}
    options: dict[str, Any] = {"image_encoder": None, "safety_checker": None, "feature_extractor": None}
    if folder.safety_checker:
        options["feature_extractor"] = CLIPImageProcessorPil.from_pretrained(
            folder.path / "feature_extractor", local_files_only=True
        )
    return options | {"requires_safety_checker": folder.safety_checker}


def _silence() -> None:
    """The libraries would log progress bars, and the prompt itself when it is too long."""
    diffusers.utils.logging.set_verbosity_error()
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


@contextlib.contextmanager
def _refusing(path: Path) -> Iterator[None]:
    try:
        yield
    except ModelRefusedError:
        raise
    except Exception as error:
        # Whatever the libraries raise about files they can't use, the answer is the same: this model is not served.
        reason = " ".join(str(error).split())[:500].rstrip(".")
        raise ModelRefusedError(f"The model in {path} can't be loaded: {type(error).__name__}: {reason}.") from error


def _text_parts(pipeline: DiffusionPipeline) -> list[tuple[str, str]]:
    pairs = [("tokenizer", "text_encoder"), ("tokenizer_2", "text_encoder_2")]
    return [pair for pair in pairs if pair[0] in pipeline.components]


def _check_vocabulary(tokenizer: Any, text_encoder: Any, folder: Path) -> None:
    """An empty or foreign tokenizer loads without complaint and renders nonsense."""
    words, rows = len(tokenizer), text_encoder.config.vocab_size
    if words != rows:
        raise ModelRefusedError(
            f"The tokenizer in {folder} knows {words} tokens but its text encoder {rows}, so they don't belong "
            "together."
        )
