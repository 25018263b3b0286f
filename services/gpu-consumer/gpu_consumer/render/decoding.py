"""VAE decoding and encoding: latents to pixels, whole or tiled, and pixels to latents."""

import contextlib
from collections.abc import Iterator

import torch
from diffusers import AutoencoderKL, DiffusionPipeline, StableDiffusionXLPipeline

from gpu_consumer.render.failures import NonFiniteOutputError

SMALLEST_TILE = 4
"""In latent cells. In a smaller tile the blended overlaps would leave no pixels between them."""


@torch.inference_mode()
def decode(model: DiffusionPipeline, latent: torch.Tensor, dtype: torch.dtype, *, tiled: bool) -> torch.Tensor:
    """Decode one picture's scaled latents to pixels: 1 x 3 x height x width, float32, about -1 to 1.

    The VAE computes in `dtype`. Raises NonFiniteOutputError, and torch's out-of-memory errors. The VAE's dtype and
    tiling are restored in every case.
    """
    vae = model.vae
    with precision(vae, dtype), _tiles(vae, latent) if tiled else contextlib.nullcontext():
        unscaled = unscale(vae, latent.to(vae.dtype))
        pixels: torch.Tensor = vae.decode(unscaled, return_dict=False)[0].float()
    if not torch.isfinite(pixels).all():
        raise NonFiniteOutputError("The model produced numbers that are not finite.")
    return pixels


def to_rgb(pixels: torch.Tensor) -> bytes:
    """Return raw RGB of one picture, rows from the top; rounded as diffusers' own conversion does."""
    scaled = (pixels[0] * 0.5 + 0.5).clamp(0, 1) * 255
    channels_last = scaled.round().to(torch.uint8).permute(1, 2, 0).contiguous()
    return bytes(channels_last.cpu().numpy().data)


def decode_dtype(model: DiffusionPipeline) -> torch.dtype:
    """Return the dtype that the VAE decodes in by default.

    SDXL's VAE overflows in float16, which its configuration declares as `force_upcast`. The VAEs of SD 1.x and 2.x work
    in float16, and diffusers ignores the flag in their configurations, where it has no meaning.
    """
    overflows = isinstance(model, StableDiffusionXLPipeline) and model.vae.config.force_upcast
    dtype: torch.dtype = model.vae.dtype
    return torch.float32 if overflows and dtype == torch.float16 else dtype


@torch.inference_mode()
def encode(vae: AutoencoderKL, pixels: torch.Tensor) -> torch.Tensor:
    """Encode pictures (n x 3 x height x width, -1 to 1) to scaled latents: the mode of the distribution, no sample."""
    with precision(vae, torch.float32):
        return scale(vae, vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist.mode())


def unscale(vae: AutoencoderKL, latents: torch.Tensor) -> torch.Tensor:
    """Convert latents from the denoiser's scale to the VAE's."""
    factor: float = vae.config.scaling_factor
    statistics = _statistics(vae, latents)
    if statistics is None:
        return latents / factor
    mean, deviation = statistics
    return latents * deviation / factor + mean


def scale(vae: AutoencoderKL, latents: torch.Tensor) -> torch.Tensor:
    """Convert latents from the VAE's scale to the denoiser's."""
    factor: float = vae.config.scaling_factor
    statistics = _statistics(vae, latents)
    if statistics is None:
        return latents * factor
    mean, deviation = statistics
    return (latents - mean) * factor / deviation


def _statistics(vae: AutoencoderKL, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Return mean and standard deviation per channel, which a few SDXL models have beside the scaling factor."""
    mean, deviation = vae.config.get("latents_mean"), vae.config.get("latents_std")
    if mean is None or deviation is None:
        return None
    return like.new_tensor(mean).view(1, -1, 1, 1), like.new_tensor(deviation).view(1, -1, 1, 1)


@contextlib.contextmanager
def precision(vae: AutoencoderKL, dtype: torch.dtype) -> Iterator[None]:
    """Compute in another dtype within the context. A VAE left in it would fail every later job.

    Afterwards the weights have their previous addresses, where captured CUDA graphs read them.
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
        for parameter, data in weights:  # first: to convert them would take memory, which may have run out
            parameter.data = data
        vae.to(before)


@contextlib.contextmanager
def _tiles(vae: AutoencoderKL, latent: torch.Tensor) -> Iterator[None]:
    """Decode in tiles of at most half the picture's longer side within the context.

    By default diffusers' tiles have the size that the model was trained at, so a picture of that size, which is the
    most common one, would still be decoded whole.
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
