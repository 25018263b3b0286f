"""The builder of the tiny model's pipeline: SD 1.5's classes and scheduler settings, hundreds of times smaller."""

import torch
from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from gpu_consumer.tiny.tokenizer import MAX_TOKENS, train_tokenizer

SEED = 20
TEXT_WIDTH = 64
IMAGE_SIZE = 64
VAE_FACTOR = 8

# Untrained networks hardly react to the prompt and decode to flat grey. These gains, found by experiment, make the
# effect of prompt, seed and settings visible in the picture.
PROMPT_GAIN = 6.0
NOISE_GAIN = 4.0
CONTRAST_GAIN = 2.0


def build() -> StableDiffusionPipeline:
    """Build the pipeline in float32 on the CPU, with the same weights every time for one version of torch."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(SEED)
        tokenizer = train_tokenizer()
        return StableDiffusionPipeline(
            tokenizer=tokenizer,
            text_encoder=_text_encoder(tokenizer),
            unet=_unet(),
            vae=_vae(),
            scheduler=scheduler(),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )


def _text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=2 * TEXT_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=MAX_TOKENS,
        projection_dim=TEXT_WIDTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


def _unet() -> UNet2DConditionModel:
    unet = UNet2DConditionModel(
        sample_size=IMAGE_SIZE // VAE_FACTOR,
        block_out_channels=(32, 56),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=TEXT_WIDTH,
        norm_num_groups=8,
    )
    for name, weights in unet.named_parameters():
        if "attn2.to_v" in name or "attn2.to_out" in name:
            weights.mul_(PROMPT_GAIN)
        elif name.startswith("conv_out"):
            weights.mul_(NOISE_GAIN)
    return unet


def _vae() -> AutoencoderKL:
    vae = AutoencoderKL(
        sample_size=IMAGE_SIZE,
        block_out_channels=(16, 16, 32, 32),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        norm_num_groups=8,
    )
    vae.decoder.conv_out.weight.mul_(CONTRAST_GAIN)
    return vae


def scheduler() -> PNDMScheduler:
    """Return the scheduler with the settings of SD 1.5."""
    return PNDMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        skip_prk_steps=True,
        set_alpha_to_one=False,
        steps_offset=1,
    )
