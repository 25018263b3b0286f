"""The tiny model, and inputs for it."""

from pathlib import Path
from typing import Any

import pytest

from contracts.api import JobInput

DEFAULTS: dict[str, Any] = {
    "prompt": "a red circle on a blue background",
    "negative_prompt": "",
    "num_inference_steps": 3,
    "guidance_scale": 7.5,
    "scheduler": "ddim",
    "width": 64,
    "height": 64,
    "seed": 7,
    "num_images": 1,
    "output_format": "png",
}


def job_input(**changes: Any) -> JobInput:
    """An input that the tiny model renders in a tenth of a second, with changes."""
    return JobInput(**(DEFAULTS | changes))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the tiny model, made once for the run. Copy it to change it."""
    from gpu_consumer.tiny.install import install

    folder = tmp_path_factory.mktemp("models") / "tiny"
    install(folder)
    return folder
