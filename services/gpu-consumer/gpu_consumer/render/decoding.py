"""Latents to pixels: whole or in tiles, in the precision that the VAE bears."""

import contextlib
from collections.abc import Iterator

import torch
from diffusers import AutoencoderKL, DiffusionPipeline, StableDiffusionXLPipeline

from gpu_consumer.render.failures import NonFiniteOutputError

SMALLEST_TILE = 4
"""Latent cells. Below, nothing is left between the overlaps that are blended."""


@torch.inference_mode()
def decode(model: DiffusionPipeline, latent: torch.Tensor, dtype: torch.dtype, *, tiled: bool) -> torch.Tensor:
    """The pixels of one picture (1 x 3 x height x width, single precision, about -1 to 1) from its scaled latents.

    The VAE computes in `dtype`. Raises NonFiniteOutputError, and whatever torch raises when memory does not suffice;
    the VAE is as it was then too.
    """
    vae = model.vae
    with precision(vae, dtype), _tiles(vae, latent) if tiled else contextlib.nullcontext():
        unscaled = unscale(vae, latent.to(vae.dtype))
        pixels: torch.Tensor = vae.decode(unscaled, return_dict=False)[0].float()
    if not torch.isfinite(pixels).all():
        raise NonFiniteOutputError("The model produced numbers that are not finite.")
    return pixels


def to_rgb(pixels: torch.Tensor) -> bytes:
    """Raw RGB of one picture, rows from the top; rounded as diffusers' own conversion does."""
    scaled = (pixels[0] * 0.5 + 0.5).clamp(0, 1) * 255
    channels_last = scaled.round().to(torch.uint8).permute(1, 2, 0).contiguous()
    return bytes(channels_last.cpu().numpy().data)


def bearable(model: DiffusionPipeline) -> torch.dtype:
    """What the VAE decodes in. SDXL's overflows in float16 and says so by `force_upcast`.

    The VAEs of SD 1.x and 2.x bear float16; diffusers ignores the flag there, as it stands for nothing in their files.
    """
    overflows = isinstance(model, StableDiffusionXLPipeline) and model.vae.config.force_upcast
    dtype: torch.dtype = model.vae.dtype
    return torch.float32 if overflows and dtype == torch.float16 else dtype


@torch.inference_mode()
def encode(vae: AutoencoderKL, pixels: torch.Tensor) -> torch.Tensor:
    """Scaled latents of pictures (n x 3 x height x width, -1 to 1), without the noise of the distribution."""
    with precision(vae, torch.float32):
        return scale(vae, vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist.mode())


def unscale(vae: AutoencoderKL, latents: torch.Tensor) -> torch.Tensor:
    """From the denoiser's scale to the VAE's own."""
    factor: float = vae.config.scaling_factor
    statistics = _statistics(vae, latents)
    if statistics is None:
        return latents / factor
    mean, deviation = statistics
    return latents * deviation / factor + mean


def scale(vae: AutoencoderKL, latents: torch.Tensor) -> torch.Tensor:
    """From the VAE's own scale to the denoiser's."""
    factor: float = vae.config.scaling_factor
    statistics = _statistics(vae, latents)
    if statistics is None:
        return latents * factor
    mean, deviation = statistics
    return (latents - mean) * factor / deviation


def _statistics(vae: AutoencoderKL, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Mean and standard deviation per channel, which a few SDXL models tell beside the factor."""
    mean, deviation = vae.config.get("latents_mean"), vae.config.get("latents_std")
    if mean is None or deviation is None:
        return None
    return like.new_tensor(mean).view(1, -1, 1, 1), like.new_tensor(deviation).view(1, -1, 1, 1)


@contextlib.contextmanager
def precision(vae: AutoencoderKL, dtype: torch.dtype) -> Iterator[None]:
    """Compute in another precision for a while. Left in it, the VAE would fail every later job.

    Afterwards the weights are in the same place in memory as before, where captured CUDA graphs read them.
    """
    before = vae.dtype
    if before == dtype:
        yield
        return
    weights = [(parameter, parameter.data) for parameter in vae.parameters()]
    try:
        vae.to(dtype)
        yield
    finally:
        vae.to(before)
        for parameter, data in weights:
            parameter.data = data


@contextlib.contextmanager
def _tiles(vae: AutoencoderKL, latent: torch.Tensor) -> Iterator[None]:
    """Decode in tiles of at most half the picture's longer side.

    Left alone, diffusers takes tiles of the size that the model was trained at, so that a picture of just that size,
    the commonest, would still be decoded whole.
    """
    before = vae.tile_latent_min_size, vae.tile_sample_min_size
    factor = before[1] // before[0]
    tile = max(SMALLEST_TILE, min(before[0], max(latent.shape[-2:]) // 2))
    vae.enable_tiling()
    vae.tile_latent_min_size, vae.tile_sample_min_size = tile, tile * factor
    try:
        yield
    finally:
        vae.disable_tiling()
        vae.tile_latent_min_size, vae.tile_sample_min_size = before
