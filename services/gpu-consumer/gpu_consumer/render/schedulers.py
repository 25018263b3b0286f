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
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True}),
    "heun": ("HeunDiscreteScheduler", {"clip_sample": False}),
}

NAMES = tuple(_SCHEDULERS)


def build_scheduler(name: str, config: dict[str, Any]) -> SchedulerMixin:
    """A new scheduler of that name over the model's original scheduler configuration. Raises KeyError."""
    class_name, settings = _SCHEDULERS[name]
    return getattr(diffusers, class_name).from_config(config, **settings)
