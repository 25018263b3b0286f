"""A catalogue for replays."""

from typing import Any

import msgspec

from darkroom_contracts.models import Catalogue

_MODEL: dict[str, Any] = {
    "path": "tiny",
    "schedulers": ["ddim", "euler"],
    "width": {"minimum": 64, "maximum": 512, "default": 64},
    "height": {"minimum": 64, "maximum": 512, "default": 64},
    "steps": {"minimum": 1, "maximum": 500, "default": 20},
    "guidance_scale": {"minimum": 0, "maximum": 20, "default": 7.5},
    "max_images": 4,
    "max_cost": 20_000_000,
}


def catalogue() -> Catalogue:
    """Return a catalogue of two models; `large` does not render 500 steps."""
    large = {"steps": {"minimum": 1, "maximum": 10, "default": 5}}
    return msgspec.convert({"models": [{"name": "tiny", **_MODEL}, {"name": "large", **_MODEL, **large}]}, Catalogue)
