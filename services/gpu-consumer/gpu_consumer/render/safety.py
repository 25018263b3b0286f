"""The model's own safety checker, run when the catalogue enables it."""

from typing import Any

import torch
from diffusers import DiffusionPipeline

from gpu_consumer.render.failures import UnsafeOutputError


@torch.inference_mode()
def check(model: DiffusionPipeline, pixels: torch.Tensor, seed: int) -> None:
    """Run the safety checker, if one is loaded. Raises UnsafeOutputError when it flags the picture."""
    checker: Any = getattr(model, "safety_checker", None)
    if checker is None:
        return
    # A copy, because the checker blackens flagged pictures in place.
    _, flagged = model.run_safety_checker(pixels.clone(), pixels.device, checker.dtype)
    if any(flagged):
        raise UnsafeOutputError(f"The model's safety checker flagged the picture of seed {seed}.")
