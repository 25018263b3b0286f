"""Puts the parts together: a folder in diffusers' layout, small enough to ship."""

import copy
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from transformers import CLIPTokenizer

from gpu_consumer.models import model_folder
from gpu_consumer.tiny.tokenizer import train_tokenizer
from training.shapes import networks
from training.shapes.scenes import words
from training.shapes.train_denoiser import Conditional

ALL_MERGES = 10_000
"""More than there are: each word of the captions becomes one token."""


def tokenizer() -> CLIPTokenizer:
    """Knows the captions' words; whatever else a prompt says is spelled out in bytes."""
    return train_tokenizer(words(), ALL_MERGES, networks.MAX_TOKENS)


def save(vae: AutoencoderKL, trained: Conditional, folder: Path) -> None:
    """Write the pipeline in half precision, with its manifest."""
    vae, trained = copy.deepcopy((vae, trained))  # half precision is for the copy
    for network in (vae, trained.unet):
        network.register_to_config(_name_or_path="")  # where they lay while they were trained says nothing to anyone
    pipeline = StableDiffusionPipeline(
        tokenizer=tokenizer(),
        text_encoder=trained.text_encoder,
        unet=trained.unet,
        vae=vae,
        scheduler=networks.scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.to(dtype=torch.float16).save_pretrained(folder, safe_serialization=True)
    for file in folder.rglob("*.safetensors"):
        file.chmod(0o644)  # safetensors writes 0600, and a worker may run as another user
    model_folder.write_sums(folder)
