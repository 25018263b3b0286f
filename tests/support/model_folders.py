"""Folders of other kinds of models than `tiny`: a few hundred kilobytes each, random weights, the real classes."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DiffusionPipeline,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

from gpu_consumer.models import model_folder
from gpu_consumer.tiny.tokenizer import MAX_TOKENS, train_tokenizer

WIDTH = 32
"""Of each text encoder."""
SDXL_SIZES = {"addition_time_embed_dim": 8, "projection_class_embeddings_input_dim": 6 * 8 + WIDTH}
"""SDXL tells the UNet six numbers about sizes, and the second text encoder's summary."""


def write_sdxl(folder: Path) -> None:
    """Two text encoders, their summary and the sizes as conditions, and a VAE that asks for single precision."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(21)
        tokenizer = train_tokenizer()
        pipeline = StableDiffusionXLPipeline(
            vae=_vae(force_upcast=True, scaling_factor=0.13025),
            text_encoder=CLIPTextModel(_text_config(tokenizer)),
            text_encoder_2=CLIPTextModelWithProjection(_text_config(tokenizer, hidden_act="gelu")),
            tokenizer=tokenizer,
            tokenizer_2=train_tokenizer(),
            unet=_unet(2 * WIDTH, addition_embed_type="text_time", use_linear_projection=True, **SDXL_SIZES),
            scheduler=EulerDiscreteScheduler(**_BETAS, timestep_spacing="leading"),
            add_watermarker=False,
        )
    _save(pipeline, folder)


def write_sd2(folder: Path) -> None:
    """As Stable Diffusion 2.1: OpenCLIP's activation in the text encoder, and a UNet that predicts velocity."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(22)
        tokenizer = train_tokenizer()
        pipeline = StableDiffusionPipeline(
            vae=_vae(),
            text_encoder=CLIPTextModel(_text_config(tokenizer, hidden_act="gelu")),
            tokenizer=tokenizer,
            unet=_unet(WIDTH, use_linear_projection=True),
            scheduler=DDIMScheduler(**_BETAS, steps_offset=1, prediction_type="v_prediction", clip_sample=False),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    _save(pipeline, folder)


def copy_model(model: Path, copy: Path) -> Path:
    """Copy the folder without its manifest."""
    shutil.copytree(model, copy, ignore=shutil.ignore_patterns(model_folder.SUMS))
    return copy


def add_checker(folder: Path) -> None:
    """Give a model of Stable Diffusion 1.x a safety checker that objects to nothing, as SD 1.5's folder has one."""
    tower = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision = tower | {"image_size": 32, "patch_size": 16}
    StableDiffusionSafetyChecker(CLIPConfig(text_config=tower, vision_config=vision, projection_dim=8)).save_pretrained(
        folder / "safety_checker"
    )
    CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(
        folder / "feature_extractor"
    )
    index = json.loads((folder / model_folder.INDEX).read_text())
    index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    index["feature_extractor"] = ["transformers", "CLIPFeatureExtractor"]
    (folder / model_folder.INDEX).write_text(json.dumps(index))


_BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


def _text_config(tokenizer: CLIPTokenizer, **changes: Any) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=MAX_TOKENS,
        projection_dim=WIDTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **changes,
    )


def _unet(cross_attention_dim: int, **changes: Any) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(16, 32),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        attention_head_dim=(2, 4),
        cross_attention_dim=cross_attention_dim,
        norm_num_groups=8,
        **changes,
    )


def _vae(**changes: Any) -> AutoencoderKL:
    return AutoencoderKL(
        sample_size=64,
        block_out_channels=(8, 8, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        norm_num_groups=8,
        **changes,
    )


def _save(pipeline: DiffusionPipeline, folder: Path) -> None:
    pipeline.save_pretrained(folder, safe_serialization=True)
    model_folder.write_sums(folder)
