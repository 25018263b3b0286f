"""Library versions and execution settings, as far as they can change the last bits of a picture."""

from importlib.metadata import version
from typing import Any

import diffusers
import torch
import transformers
from diffusers import DiffusionPipeline

from darkroom_contracts.api import Execution
from gpu_consumer.protocol import Device, Load


def versions(device: Device) -> dict[str, str]:
    """Return library -> version. CUDA and cuDNN are included on a GPU."""
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
    """Return the execution settings of the loaded model's networks."""
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
    """Return the compiled sizes, since Engines uses the compiled code only for the warm-up's sizes and guidance."""
    guidance = "" if load.guidance_scale > 1 else " unguided"
    sizes = sorted(f"{size.width}x{size.height}{guidance}" for size in load.sizes)
    return sizes if load.compile else []


def _cudnn() -> str:
    """Return cuDNN's version; torch encodes 9.10.2 as 91002."""
    number = torch.backends.cudnn.version() or 0
    return f"{number // 10_000}.{number // 100 % 100}.{number % 100}"


def _attention(model: Any) -> str:
    processors = [*model.unet.attn_processors.values(), *model.vae.attn_processors.values()]
    return ", ".join(sorted({type(processor).__name__ for processor in processors}))
