"""The schedulers, by their names in the API.

Each render builds its scheduler from the model's original configuration, which takes a millisecond. A scheduler built
from another one would inherit its settings (`use_karras_sigmas` survives a switch to another scheduler).
"""

from typing import Any

import diffusers
from diffusers import SchedulerMixin

# `clip_sample` is meant for pixel-space models. Its default is True, so a configuration without it would clip latents.
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
"""Length of the schedule that latent consistency models are distilled on."""


def build_scheduler(name: str, config: dict[str, Any], steps: int) -> SchedulerMixin:
    """Build a scheduler from the model's original scheduler configuration, for a render of `steps` steps.

    Raises KeyError for an unknown name.
    """
    class_name, settings = _SCHEDULERS[name]
    if name == "lcm":
        # LCM selects its steps from the distillation schedule and refuses more steps than that has.
        settings = settings | {"original_inference_steps": max(LCM_STEPS, steps)}
    return getattr(diffusers, class_name).from_config(config, **settings)
