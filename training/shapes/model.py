"""The assembly of the trained parts into a model folder in diffusers' layout."""

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
"""More merges than exist, so that each word of the captions becomes one token."""


def tokenizer() -> CLIPTokenizer:
    """Train a tokenizer on the captions' words; other words of a prompt are encoded as bytes."""
    return train_tokenizer(words(), ALL_MERGES, networks.MAX_TOKENS)


def save(vae: AutoencoderKL, trained: Conditional, folder: Path) -> None:
    """Write the pipeline in float16, with its manifest."""
    vae, trained = copy.deepcopy((vae, trained))  # training continues in float32
    for network in (vae, trained.unet):
        network.register_to_config(_name_or_path="")  # a path of the training machine
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
        file.chmod(0o644)  # safetensors writes 0600, and a worker can run as another user
    model_folder.write_sums(folder)
