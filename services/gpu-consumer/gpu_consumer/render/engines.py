"""How UNet and VAE decoder compute: the memory layout, and code compiled for the sizes that were warmed up."""

from typing import Any

import torch
from diffusers import DiffusionPipeline

from gpu_consumer.render.protocol import Size


class Engines:
    """Chooses for each render between the compiled networks and the plain ones.

    A compiled network is good for one shape and takes a minute or more for each new one, in which a job would seem to
    hang. So it serves the sizes of the warm-up, with guidance as nearly all jobs have it, and the plain one the rest.
    """

    def __init__(
        self, model: DiffusionPipeline, warm: tuple[Size, ...], *, channels_last: bool, compiled: bool
    ) -> None:
        if channels_last:
            model.unet.to(memory_format=torch.channels_last)
            model.vae.to(memory_format=torch.channels_last)
        self._model = model
        self._warm = frozenset(warm)
        self._plain = (model.unet, model.vae.decoder)
        self._compiled = _compile(*self._plain, len(warm)) if compiled else self._plain

    def prepare_denoise(self, size: Size, guidance_scale: float) -> None:
        """To be called before a batch is denoised."""
        guided = guidance_scale > 1  # as diffusers counts it; else the UNet sees half the batch
        self._model.unet = (self._compiled if size in self._warm and guided else self._plain)[0]

    def prepare_decode(self, size: Size, *, tiled: bool) -> None:
        """To be called before a picture is decoded."""
        self._model.vae.decoder = (self._compiled if size in self._warm and not tiled else self._plain)[1]


def _compile(unet: Any, decoder: Any, sizes: int) -> tuple[Any, Any]:
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, sizes)
    compiled: Any = torch.compile(unet, dynamic=False)
    compiled.register_forward_pre_hook(_single_time_dtype)
    return compiled, torch.compile(decoder, dynamic=False)


def _single_time_dtype(unet: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Schedulers count time in whole numbers or fractions; compiled code would be made anew for each of the two.

    The UNet makes single precision of either as its first act, so nothing else changes.
    """
    sample, time, *rest = arguments
    return (sample, time.float(), *rest)
