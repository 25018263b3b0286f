"""Stable Diffusion 1.5 and SDXL at full size with random weights: a GPU's work, without anybody's weights.

The sizes are those of the published configurations (stable-diffusion-v1-5, stable-diffusion-xl-base-1.0), but for the
rows of the vocabularies, which are the tiny model's. Saved in half precision: 2 GB and 7 GB.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from gpu_consumer.tiny.build import scheduler
from gpu_consumer.tiny.tokenizer import MAX_TOKENS, train_tokenizer

SEED = 15
LARGE_TEXT = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
"""CLIP ViT-L/14's."""
BIG_TEXT = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20}
"""OpenCLIP ViT-bigG/14's."""
SDXL_UNET: dict[str, Any] = {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}


def write_sd15(folder: Path, device: str) -> None:
    """Write a full-size SD 1.5 without a manifest, in seconds if the weights are drawn on a GPU."""
    with _drawing(device):
        networks = sd15_networks(tokenizer := train_tokenizer())
    pipeline = StableDiffusionPipeline(
        **networks,
        tokenizer=tokenizer,
        scheduler=scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder, safe_serialization=True)


def write_sdxl(folder: Path, device: str) -> None:
    """Write a full-size SDXL without a manifest, in ten seconds if the weights are drawn on a GPU."""
    with _drawing(device):
        networks = sdxl_networks(tokenizer := train_tokenizer())
    pipeline = StableDiffusionXLPipeline(
        **networks,
        tokenizer=tokenizer,
        tokenizer_2=train_tokenizer(),
        scheduler=EulerDiscreteScheduler(
            beta_schedule="scaled_linear",
            beta_start=0.00085,
            beta_end=0.012,
            steps_offset=1,
            timestep_spacing="leading",
        ),
        add_watermarker=False,
    )
    pipeline.save_pretrained(folder, safe_serialization=True)


def sd15_networks(tokenizer: CLIPTokenizer) -> dict[str, torch.nn.Module]:
    """In half precision, on torch's default device."""
    return {
        "text_encoder": CLIPTextModel(_text(tokenizer, LARGE_TEXT)).half(),
        "unet": UNet2DConditionModel(sample_size=64, cross_attention_dim=768).half(),
        "vae": _vae(sample_size=512).half(),
    }


def sdxl_networks(tokenizer: CLIPTokenizer) -> dict[str, torch.nn.Module]:
    """In half precision, on torch's default device."""
    return {
        "text_encoder": CLIPTextModel(_text(tokenizer, LARGE_TEXT)).half(),
        "text_encoder_2": CLIPTextModelWithProjection(_text(tokenizer, BIG_TEXT, hidden_act="gelu")).half(),
        "unet": UNet2DConditionModel(**SDXL_UNET).half(),
        "vae": _vae(sample_size=1024, scaling_factor=0.13025, force_upcast=True).half(),
    }


@contextlib.contextmanager
def _drawing(device: str) -> Iterator[None]:
    """Draw weights on the device, the same each time, and leave its random numbers as they were."""
    with torch.random.fork_rng(devices=[device] if device == "cuda" else []), torch.no_grad(), torch.device(device):
        torch.manual_seed(SEED)
        yield


def _text(tokenizer: CLIPTokenizer, size: dict[str, int], **changes: Any) -> CLIPTextConfig:
    return CLIPTextConfig(
        **size,
        vocab_size=len(tokenizer),
        max_position_embeddings=MAX_TOKENS,
        projection_dim=size["hidden_size"],
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **changes,
    )


def _vae(**changes: Any) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        **changes,
    )
