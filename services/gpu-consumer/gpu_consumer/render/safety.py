"""The model's own safety checker, where the catalogue asks for it."""

from typing import Any

import torch
from diffusers import DiffusionPipeline

from gpu_consumer.render.failures import UnsafeOutputError


@torch.inference_mode()
def check(model: DiffusionPipeline, pixels: torch.Tensor, seed: int) -> None:
    """Raises UnsafeOutputError when the model was loaded with a checker and that objects to the picture."""
    checker: Any = getattr(model, "safety_checker", None)
    if checker is None:
        return
    # A copy: the checker blackens what it objects to.
    _, objected = model.run_safety_checker(pixels.clone(), pixels.device, checker.dtype)
    if any(objected):
        raise UnsafeOutputError(f"The model's safety checker objected to the picture of seed {seed}.")
