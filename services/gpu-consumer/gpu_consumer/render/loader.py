"""Loads a pipeline from a folder under the startup contract."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers import DiffusionPipeline, StableDiffusionPipeline, StableDiffusionXLPipeline
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from transformers import CLIPImageProcessorPil

from contracts.models import Dtype, PipelineClass
from gpu_consumer.render.model_folder import ModelFolder
from gpu_consumer.render.protocol import Device
from gpu_consumer.startup import ModelRefusedError

VERSIONS = {
    "torch": str(torch.__version__),
    "diffusers": diffusers.__version__,
    "transformers": transformers.__version__,
}


_CLASSES: dict[PipelineClass, type[DiffusionPipeline]] = {
    "StableDiffusionPipeline": StableDiffusionPipeline,
    "StableDiffusionXLPipeline": StableDiffusionXLPipeline,
}


def load_pipeline(folder: ModelFolder, device: Device, dtype: Dtype) -> DiffusionPipeline:
    """Load the folder's pipeline onto the device. Raises ModelRefusedError.

    Its `safety_checker` and `feature_extractor` are there when the folder was inspected for them, else None: what
    may be rendered is for the operator of the service to decide.
    """
    _silence()
    with _refusing(folder.path):
        pipeline = _CLASSES[folder.pipeline].from_pretrained(
            folder.path, **_weights_options(folder, dtype), **_class_options(folder, dtype)
        )
        pipeline.set_progress_bar_config(disable=True)
    for tokenizer, text_encoder in _text_parts(pipeline):
        _check_vocabulary(getattr(pipeline, tokenizer), getattr(pipeline, text_encoder), folder.path / tokenizer)
    with _refusing(folder.path):
        return pipeline.to(device)


def _weights_options(folder: ModelFolder, dtype: Dtype) -> dict[str, Any]:
    return {
        "dtype": getattr(torch, dtype),
        "variant": folder.variant,
        "use_safetensors": True,  # otherwise missing weights fall back to pickles
        "local_files_only": True,
    }


def _class_options(folder: ModelFolder, dtype: Dtype) -> dict[str, Any]:
    """Components that are given, so that the index has no say in them; SDXL's watermark would alter the pictures."""
    if folder.pipeline == "StableDiffusionXLPipeline":
        return {"image_encoder": None, "feature_extractor": None, "add_watermarker": False}
    options = {"image_encoder": None, "safety_checker": None, "feature_extractor": None}
    if folder.safety_checker:
        options |= _checker(folder, dtype)
    return options | {"requires_safety_checker": folder.safety_checker}


def _checker(folder: ModelFolder, dtype: Dtype) -> dict[str, Any]:
    """Loaded by their classes: the index of older folders calls them by names that the library has dropped."""
    checker = StableDiffusionSafetyChecker.from_pretrained(
        folder.path / "safety_checker", **_weights_options(folder, dtype)
    )
    extractor = CLIPImageProcessorPil.from_pretrained(folder.path / "feature_extractor", local_files_only=True)
    return {"safety_checker": checker.eval(), "feature_extractor": extractor}


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
