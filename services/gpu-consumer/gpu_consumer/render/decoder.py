"""The VAE decoder with fallbacks: tiled when memory is short, float32 when float16 overflows."""

from typing import NamedTuple

import torch
from diffusers import DiffusionPipeline

from gpu_consumer.protocol import Size
from gpu_consumer.render import decoding, memory
from gpu_consumer.render.economy import Economy, TiledSizes
from gpu_consumer.render.engines import Engines
from gpu_consumer.render.failures import NonFiniteOutputError, is_out_of_memory


class Decoded(NamedTuple):
    """One decoded picture."""

    pixels: torch.Tensor
    """Shape and range as `decoding.decode` returns them."""
    dtype: torch.dtype
    """The dtype that the VAE computed in."""


class Decoder:
    """A VAE decoder that starts whole and in the default dtype, and falls back to tiles and to float32."""

    def __init__(self, model: DiffusionPipeline, engines: Engines) -> None:
        self._model = model
        self._engines = engines
        self._default_dtype = decoding.decode_dtype(model)
        self._tiled_sizes = TiledSizes()

    def begin(self, size: Size, economy: Economy, *, frugal: bool) -> None:
        """Choose whole or tiled decoding for a render. Call it before the first `decode` of the render."""
        economy.tiled = frugal or size in self._tiled_sizes

    def decode(self, size: Size, latent: torch.Tensor, economy: Economy) -> Decoded:
        """Decode one scaled latent; decode it again in float32 when the VAE overflows in float16.

        Each picture starts in the default dtype, so that a job's bytes don't depend on earlier jobs. Raises
        NonFiniteOutputError, and torch's out-of-memory errors.
        """
        try:
            return Decoded(self._decode(size, latent, economy, self._default_dtype), self._default_dtype)
        except NonFiniteOutputError:
            if self._default_dtype != torch.float16 or not torch.isfinite(latent).all():
                raise
        print("The VAE overflowed in float16; decoding the picture again in float32.", flush=True)  # noqa: T201
        return Decoded(self._decode(size, latent, economy, torch.float32), torch.float32)

    def _decode(self, size: Size, latent: torch.Tensor, economy: Economy, dtype: torch.dtype) -> torch.Tensor:
        """Decode in tiles when decoding the whole picture runs out of memory."""
        if economy.tiled:
            return self._decode_as(size, latent, dtype, tiled=True)
        whole = self._decode_whole_if_it_fits(size, latent, dtype)
        if whole is not None:
            return whole
        memory.release()
        economy.tiled = True
        pixels = self._decode_as(size, latent, dtype, tiled=True)
        if dtype == self._default_dtype:
            self._tiled_sizes.add(size)
        return pixels

    def _decode_whole_if_it_fits(self, size: Size, latent: torch.Tensor, dtype: torch.dtype) -> torch.Tensor | None:
        try:
            return self._decode_as(size, latent, dtype, tiled=False)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return None

    def _decode_as(self, size: Size, latent: torch.Tensor, dtype: torch.dtype, *, tiled: bool) -> torch.Tensor:
        # Compiled code and CUDA graphs exist only for whole pictures in the default dtype.
        self._engines.prepare_decode(size, tiled=tiled or dtype != self._default_dtype)
        return decoding.decode(self._model, latent, dtype, tiled=tiled)
