"""Stable Diffusion 1.5 at its full size with random weights: what a GPU has to do, without anybody's weights.

The sizes are those of the published configuration: UNet 860 M parameters, VAE 84 M, text encoder 123 M less the rows
of the vocabulary, which is the tiny model's. Saved in half precision: 2 GB.
"""

from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from gpu_consumer.render import model_folder
from gpu_consumer.tiny.build import scheduler
from gpu_consumer.tiny.tokenizer import MAX_TOKENS, train_tokenizer

SEED = 15
CONTRAST_GAIN = 8.0
"""Untrained, the decoder makes flat grey, and one flat grey is like another."""


def write_sd15(folder: Path, device: str) -> None:
    """Takes seconds when the weights are drawn on a GPU."""
    with torch.random.fork_rng(devices=[device] if device == "cuda" else []), torch.no_grad(), torch.device(device):
        torch.manual_seed(SEED)
        tokenizer = train_tokenizer()
        pipeline = StableDiffusionPipeline(
            tokenizer=tokenizer,
            text_encoder=_text_encoder(tokenizer).half(),
            unet=UNet2DConditionModel(sample_size=64, cross_attention_dim=768).half(),
            vae=_vae().half(),
            scheduler=scheduler(),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    pipeline.save_pretrained(folder, safe_serialization=True)
    model_folder.write_sums(folder)


def _text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=768,
            intermediate_size=3072,
            num_hidden_layers=12,
            num_attention_heads=12,
            max_position_embeddings=MAX_TOKENS,
            projection_dim=768,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def _vae() -> AutoencoderKL:
    vae = AutoencoderKL(
        sample_size=512,
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
    )
    vae.decoder.conv_out.weight.mul_(CONTRAST_GAIN)
    return vae
