"""What this process computes with, as far as it changes the last bits of a picture."""

from importlib.metadata import version
from typing import Any

import diffusers
import torch
import transformers
from diffusers import DiffusionPipeline

from darkroom_contracts.api import Execution
from gpu_consumer.protocol import Device, Load


def versions(device: Device) -> dict[str, str]:
    """Library -> version. CUDA and cuDNN are there when they compute."""
    computing = {
        "darkroom": version("darkroom-gpu-consumer"),
        "torch": str(torch.__version__),
        "diffusers": diffusers.__version__,
        "transformers": transformers.__version__,
    }
    if device == "cuda":
        computing |= {"cuda": str(torch.version.cuda), "cudnn": _cudnn()}
    return computing


def describe(model: DiffusionPipeline, load: Load) -> Execution:
    """How the loaded model's networks compute here."""
    on_gpu = load.device == "cuda"
    return Execution(
        layout="channels_last" if load.channels_last else "contiguous",
        compiled=_compiled(load),
        cuda_graphs=load.cuda_graphs,
        attention=_attention(model),
        tf32_convolutions=on_gpu and torch.backends.cudnn.allow_tf32,
        tf32_products=on_gpu and torch.backends.cuda.matmul.allow_tf32,
        cpu_capability=torch.backends.cpu.get_cpu_capability(),
        cpu_threads=None if on_gpu else torch.get_num_threads(),
    )


def _compiled(load: Load) -> list[str]:
    """Engines chooses by size and guidance, so a model that was warmed up for others renders a size by other code."""
    guidance = "" if load.guidance_scale > 1 else " unguided"
    sizes = sorted(f"{size.width}x{size.height}{guidance}" for size in load.sizes)
    return sizes if load.compile else []


def _cudnn() -> str:
    """torch tells 9.10.2 as 91002."""
    number = torch.backends.cudnn.version() or 0
    return f"{number // 10_000}.{number // 100 % 100}.{number % 100}"


def _attention(model: Any) -> str:
    processors = [*model.unet.attn_processors.values(), *model.vae.attn_processors.values()]
    return ", ".join(sorted({type(processor).__name__ for processor in processors}))
