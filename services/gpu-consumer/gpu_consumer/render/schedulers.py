"""The schedulers by the names that the API knows.

Each is built afresh from the model's own configuration: built from one another they would leak settings
(`use_karras_sigmas` outlives a switch away from it). It costs a millisecond.
"""

from typing import Any

import diffusers
from diffusers import SchedulerMixin

# `clip_sample` is for pixel models; schedulers whose saved configuration lacks it would clip latents.
_SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "ddim": ("DDIMScheduler", {"clip_sample": False}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler_a": ("EulerAncestralDiscreteScheduler", {}),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", {}),
    "dpmpp_2m_karras": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    "unipc": ("UniPCMultistepScheduler", {}),
    "lcm": ("LCMScheduler", {"clip_sample": False}),
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True}),
    "heun": ("HeunDiscreteScheduler", {"clip_sample": False}),
}

NAMES = tuple(_SCHEDULERS)


LCM_STEPS = 50
"""Of the schedule that latent consistency models are distilled on."""


def build_scheduler(name: str, config: dict[str, Any], steps: int) -> SchedulerMixin:
    """A new scheduler of that name over the model's original scheduler configuration, for a render of `steps`.

    Raises KeyError.
    """
    class_name, settings = _SCHEDULERS[name]
    if name == "lcm":
        # It picks its steps out of the schedule of the distillation and refuses more than that has.
        settings = settings | {"original_inference_steps": max(LCM_STEPS, steps)}
    return getattr(diffusers, class_name).from_config(config, **settings)
