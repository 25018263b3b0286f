"""The tiny model, and inputs for it."""

import fcntl
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from darkroom_contracts.api import Execution, JobInput
from gpu_consumer.protocol import Load, Phases, Picture, Ready, Rendered, RenderedImage, Size

REPOSITORY = Path(__file__).parents[2]
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
    """Return an input that the tiny model renders in a tenth of a second, with changes."""
    return JobInput(**(DEFAULTS | changes))


def load_of(folder: Path | str, **changes: Any) -> Load:
    """Return the command to load the tiny model in `folder`, with changes."""
    defaults: dict[str, Any] = {
        "folder": str(folder),
        "pipeline": "StableDiffusionPipeline",
        "manifest_sha256": None,
        "device": "cpu",
        "dtype": "float32",
        "safety_checker": False,
        "scheduler": "ddim",
        "guidance_scale": 7.5,
        "sizes": (Size(64, 64),),
        "channels_last": False,
        "compile": False,
        "cuda_graphs": False,
        "cpu_threads": 1,
    }
    return Load(**(defaults | changes))


def execution(**changes: Any) -> Execution:
    """Return the execution settings of a CPU, with changes."""
    defaults: dict[str, Any] = {
        "layout": "contiguous",
        "compiled": [],
        "cuda_graphs": False,
        "attention": "AttnProcessor2_0",
        "tf32_convolutions": False,
        "tf32_products": False,
        "cpu_capability": "AVX2",
        "cpu_threads": 2,
    }
    return Execution(**(defaults | changes))


def ready(**changes: Any) -> Ready:
    """Return a warm render process's `Ready`, with changes."""
    defaults: dict[str, Any] = {
        "device": "cpu",
        "dtype": "float32",
        "model_revision": "sha256:0123456789abcdef",
        "manifest_sha256": None,
        "versions": {"torch": "2"},
        "execution": execution(),
        "load_seconds": 1.5,
        "warmup_seconds": 0.5,
        "memory_bytes": 400_000_000,
    }
    return Ready(**(defaults | changes))


def picture(image: RenderedImage, **changes: Any) -> Picture:
    """Return a picture as the render process sends it, with changes."""
    defaults: dict[str, Any] = {"index": 0, "batch_size": 1, "tiled": False, "vae_dtype": "float32"}
    return Picture(image=image, **(defaults | changes))


def rendered(**changes: Any) -> Rendered:
    """Return the outcome after the pictures, with changes."""
    defaults: dict[str, Any] = {
        "batch_size": 1,
        "inference_ms": 12.5,
        "phases": Phases(0.01, 0.0025),
        "steps": 3,
        "peak_memory_bytes": 500_000_000,
        "tiled": False,
        "vae_dtype": "float32",
    }
    return Rendered(**(defaults | changes))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the tiny model, built once per run. Copy it to change it."""
    return _made_once(tmp_path_factory, "tiny", "gpu_consumer.tiny.install", "install")


@pytest.fixture(scope="session")
def tiny_sdxl_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny SDXL model with random weights, built once per run. Copy it to change it."""
    return _made_once(tmp_path_factory, "tiny-sdxl", "tests.support.model_folders", "write_sdxl")


@pytest.fixture(scope="session")
def tiny_sd2_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny model like Stable Diffusion 2.1, built once per run. Copy it to change it."""
    return _made_once(tmp_path_factory, "tiny-sd2", "tests.support.model_folders", "write_sd2")


def _made_once(factory: pytest.TempPathFactory, name: str, module: str, function: str) -> Path:
    """Return a folder that `function(folder)` fills, shared by all processes of the run."""
    home = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        home = home.parent
    folder = home / "models" / name
    folder.parent.mkdir(exist_ok=True)
    with (folder.parent / f".{name}").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _make(folder, module, function)
    return folder


def _make(folder: Path, module: str, function: str) -> None:
    """Build the folder here if torch is imported already, otherwise in a child, to keep torch out of this process."""
    if "torch" in sys.modules:
        getattr(import_module(module), function)(folder)
        return
    program = f"from pathlib import Path; from {module} import {function}; {function}(Path({str(folder)!r}))"
    quiet = os.environ | {"TRANSFORMERS_VERBOSITY": "error"}
    subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, env=quiet, check=True)
