"""Loads a pipeline from a folder under the startup contract."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import diffusers
import torch
import transformers
from diffusers import StableDiffusionPipeline

from gpu_consumer.render import device as devices
from gpu_consumer.render.model_folder import ModelFolder
from gpu_consumer.render.protocol import Device
from gpu_consumer.startup import ModelRefusedError

VERSIONS = {
    "torch": str(torch.__version__),
    "diffusers": diffusers.__version__,
    "transformers": transformers.__version__,
}


def load_pipeline(folder: ModelFolder, device: Device) -> StableDiffusionPipeline:
    """Load an SD 1.x pipeline onto the device. Raises ModelRefusedError.

    The safety checker is not loaded: what may be rendered is for the operator of the service to decide.
    """
    _silence()
    with _refusing(folder.path):
        pipeline = StableDiffusionPipeline.from_pretrained(
            folder.path,
            dtype=devices.dtype_for(device),
            variant=folder.variant,
            use_safetensors=True,  # otherwise missing weights fall back to pickles
            local_files_only=True,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        pipeline.set_progress_bar_config(disable=True)
    _check_vocabulary(pipeline, folder.path)
    with _refusing(folder.path):
        return pipeline.to(device)


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


def _check_vocabulary(pipeline: StableDiffusionPipeline, path: Path) -> None:
    """An empty or foreign tokenizer loads without complaint and renders nonsense."""
    words, rows = len(pipeline.tokenizer), pipeline.text_encoder.config.vocab_size
    if words != rows:
        raise ModelRefusedError(
            f"The tokenizer in {path} knows {words} tokens but the text encoder {rows}, so they don't belong together."
        )
