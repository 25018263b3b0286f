"""The pipeline loader: local files only, safetensors only, every weight present."""

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
from gpu_consumer.render.failures import is_device_lost, is_out_of_memory
from gpu_consumer.startup import ModelRefusedError, RenderProcessFailedError

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
"""The parts with weights. The folder's index was checked for the same classes."""

KEYS_NAMED = 3
"""Number of missing weights that an error names."""


def load_pipeline(folder: ModelFolder, device: Device, dtype: Dtype) -> DiffusionPipeline:
    """Load the folder's pipeline onto the device.

    Raises ModelRefusedError, and RenderProcessFailedError when memory or the device fails.

    `safety_checker` and `feature_extractor` are loaded if the folder was inspected for them, and None otherwise: the
    service's operator decides whether pictures are checked.
    """
    _silence_libraries()
    with _translated_errors(folder.path):
        pipeline = _CLASSES[folder.pipeline].from_pretrained(
            folder.path, local_files_only=True, **(_class_options(folder) | _networks(folder, dtype))
        )
        pipeline.set_progress_bar_config(disable=True)
    for tokenizer, text_encoder in _text_parts(pipeline):
        _check_vocabulary(getattr(pipeline, tokenizer), getattr(pipeline, text_encoder), folder.path / tokenizer)
    with _translated_errors(folder.path):
        return pipeline.to(device)


def _networks(folder: ModelFolder, dtype: Dtype) -> dict[str, Any]:
    """Load every part that has weights."""
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
        ignore_mismatched_sizes=True,  # reported by name in the loading info
    )
    _require_all_weights(folder.path / name, loading)
    return network.eval()


def _require_all_weights(folder: Path, loading: Mapping[str, Collection[Any]]) -> None:
    """Raise ModelRefusedError if weights are missing or have another shape.

    transformers only warns, and initializes missing weights at random. Unexpected weights are ignored, since older
    files hold buffers that later versions compute (`position_ids`).
    """
    missing = sorted(loading["missing_keys"])
    mismatched = sorted(str(key[0]) for key in loading["mismatched_keys"])
    if missing:
        raise ModelRefusedError(
            f"The weights in {folder} don't match its config.json: {_named(missing)} {_are(missing)} missing."
        )
    if mismatched:
        raise ModelRefusedError(
            f"The weights in {folder} don't match its config.json: {_named(mismatched)} {_are(mismatched)} of "
            "another shape."
        )


def _named(keys: list[str]) -> str:
    more = len(keys) - KEYS_NAMED
    return ", ".join(keys[:KEYS_NAMED]) + (f" and {more} more" if more > 0 else "")


def _are(keys: list[str]) -> str:
    return "is" if len(keys) == 1 else "are"


def _class_options(folder: ModelFolder) -> dict[str, Any]:
    """Return components that override the folder's index, and no watermark, which would alter SDXL's pictures."""
    if folder.pipeline == "StableDiffusionXLPipeline":
        return {"image_encoder": None, "feature_extractor": None, "add_watermarker": False}
    options: dict[str, Any] = {"image_encoder": None, "safety_checker": None, "feature_extractor": None}
    if folder.safety_checker:
        options["feature_extractor"] = CLIPImageProcessorPil.from_pretrained(
            folder.path / "feature_extractor", local_files_only=True
        )
    return options | {"requires_safety_checker": folder.safety_checker}


def _silence_libraries() -> None:
    """Disable the libraries' logs: progress bars, and prompts that are too long."""
    diffusers.utils.logging.set_verbosity_error()
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


@contextlib.contextmanager
def _translated_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except ModelRefusedError:
        raise
    except Exception as error:
        # The libraries raise many types of errors about files that they can't use.
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:500]}".rstrip(".: ")
        if is_out_of_memory(error) or is_device_lost(error):  # a restart may help: another process may hold the memory
            raise RenderProcessFailedError(f"The model in {path} could not be loaded: {reason}.") from error
        raise ModelRefusedError(f"The model in {path} can't be loaded: {reason}.") from error


def _text_parts(pipeline: DiffusionPipeline) -> list[tuple[str, str]]:
    pairs = [("tokenizer", "text_encoder"), ("tokenizer_2", "text_encoder_2")]
    return [pair for pair in pairs if pair[0] in pipeline.components]


def _check_vocabulary(tokenizer: Any, text_encoder: Any, folder: Path) -> None:
    """Raise ModelRefusedError unless the vocabulary sizes match: the libraries load an empty or wrong tokenizer too."""
    words, rows = len(tokenizer), text_encoder.config.vocab_size
    if words != rows:
        raise ModelRefusedError(
            f"The tokenizer in {folder} has {words} tokens but its text encoder {rows}; use the model's own tokenizer."
        )
