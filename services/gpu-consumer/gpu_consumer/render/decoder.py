"""Decodes one picture after the other, and finds out in how much memory and precision that works."""

from typing import NamedTuple

import torch
from diffusers import DiffusionPipeline

from gpu_consumer.protocol import Size
from gpu_consumer.render import decoding, memory
from gpu_consumer.render.economy import Economy, TiledSizes
from gpu_consumer.render.engines import Engines
from gpu_consumer.render.failures import NonFiniteOutputError, is_out_of_memory


class Decoded(NamedTuple):
    """One picture."""

    pixels: torch.Tensor
    """As `decoding.decode` returns them."""
    dtype: torch.dtype
    """What the VAE computed them in."""


class Decoder:
    """Decodes whole and in the VAE's usual precision; in tiles or in single precision where that fails."""

    def __init__(self, model: DiffusionPipeline, engines: Engines) -> None:
        self._model = model
        self._engines = engines
        self._usual = decoding.bearable(model)
        self._tiled_sizes = TiledSizes()

    def begin(self, size: Size, economy: Economy, *, frugal: bool) -> None:
        """To be called before the pictures of a render are decoded."""
        economy.tiled = frugal or size in self._tiled_sizes

    def decode(self, size: Size, latent: torch.Tensor, economy: Economy) -> Decoded:
        """The picture of one scaled latent, once more in single precision where half precision overflows.

        That is found out for each picture anew, so that a job gives the same bytes whatever was rendered before.
        Raises NonFiniteOutputError, and whatever torch raises when memory does not suffice.
        """
        try:
            return Decoded(self._decode(size, latent, economy, self._usual), self._usual)
        except NonFiniteOutputError:
            if self._usual != torch.float16 or not torch.isfinite(latent).all():
                raise
        print("The VAE overflowed in float16; the picture is decoded once more in float32.", flush=True)  # noqa: T201
        return Decoded(self._decode(size, latent, economy, torch.float32), torch.float32)

    def _decode(self, size: Size, latent: torch.Tensor, economy: Economy, dtype: torch.dtype) -> torch.Tensor:
        """In tiles when memory does not suffice for the whole."""
        if economy.tiled:
            return self._decode_as(size, latent, dtype, tiled=True)
        whole = self._decode_whole_if_it_fits(size, latent, dtype)
        if whole is not None:
            return whole
        memory.release()
        economy.tiled = True
        pixels = self._decode_as(size, latent, dtype, tiled=True)
        if dtype == self._usual:
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
        # What was compiled or captured is good for whole pictures in the usual precision only.
        self._engines.prepare_decode(size, tiled=tiled or dtype != self._usual)
        return decoding.decode(self._model, latent, dtype, tiled=tiled)
