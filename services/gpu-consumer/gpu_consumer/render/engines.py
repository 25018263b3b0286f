"""Execution of the UNet and the VAE decoder: memory layout, torch.compile, CUDA graphs."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from diffusers import DiffusionPipeline

from gpu_consumer.protocol import Load, Size
from gpu_consumer.render import decoding, memory
from gpu_consumer.render.graphs import Backend, CudaBackend, Graphed, timestep_to_float32


class Engines:
    """The choice, for each render, between the prepared networks and the eager ones.

    Compiled code and CUDA graphs are valid for one shape. Compiling a new shape takes a minute or more, during which a
    job would seem to hang. So prepared networks serve the warm-up's sizes, with classifier-free guidance if the model's
    default guidance scale uses it and without if not (as for distilled models). Eager networks serve everything else.
    """

    def __init__(self, model: DiffusionPipeline, load: Load) -> None:
        if load.channels_last:
            model.unet.to(memory_format=torch.channels_last)
            model.vae.to(memory_format=torch.channels_last)
        self._model = model
        self._warm = frozenset(load.sizes)
        self._plain = (model.unet, model.vae.decoder)
        self._guided = self._is_guided(load.guidance_scale)
        self._compiled = _compile(*self._plain, len(load.sizes)) if load.compile else self._plain
        self._graphed = _graph(model, CudaBackend()) if load.cuda_graphs else {}
        self.failed_captures = 0
        """Number of graphs whose capture failed; their shapes run eagerly."""

    def prepare_denoise(self, size: Size, guidance_scale: float) -> None:
        """Install the UNet for a batch. Call it before the batch is denoised."""
        prepared = size in self._warm and self._is_guided(guidance_scale) == self._guided
        self._model.unet = (self._compiled if prepared else self._plain)[0]
        if "UNet" in self._graphed:
            self._graphed["UNet"].enable(prepared)

    def prepare_decode(self, size: Size, *, tiled: bool) -> None:
        """Install the VAE decoder for a picture. Call it before the picture is decoded."""
        prepared = size in self._warm and not tiled
        self._model.vae.decoder = (self._compiled if prepared else self._plain)[1]
        if "decoder" in self._graphed:
            self._graphed["decoder"].enable(prepared)

    @contextlib.contextmanager
    def capturing(self, size: Size) -> Iterator[None]:
        """Capture the CUDA graphs of a size after the render within the context, if graphs are enabled.

        A failed capture is counted and logged, not raised. Only the warm-up captures, because a capture synchronizes
        the device and allocates memory.
        """
        for graphed in self._graphed.values():
            graphed.learning = True
        try:
            yield
        finally:
            for graphed in self._graphed.values():
                graphed.learning = False
        for name, graphed in self._graphed.items():
            self._capture(f"{name} at {size.width}x{size.height}", graphed)

    def _capture(self, what: str, graphed: Graphed) -> None:
        try:
            graphed.record()
        except Exception as error:  # any failed capture has the same fallback: this shape runs eagerly
            reason = " ".join(f"{type(error).__name__}: {error}".split())
        else:
            return
        memory.release()
        self.failed_captures += 1
        print(f"CUDA graph capture failed for the {what}: {reason}", flush=True)  # noqa: T201 - goes to the log

    def _is_guided(self, scale: float) -> bool:
        """Return whether classifier-free guidance is used, by the rule of diffusers' pipelines in `__call__`.

        A UNet that takes the guidance scale as an input (`time_cond_proj_dim`, as in latent consistency models) never
        uses it.
        """
        return scale > 1 and self._plain[0].config.time_cond_proj_dim is None


def _graph(model: DiffusionPipeline, backend: Backend) -> dict[str, Graphed]:
    """Return the graphed networks by their names in the log.

    A decoder whose VAE is cast to float32 for each decode gets no graph.
    """
    graphed = {"UNet": Graphed(model.unet, backend, timestep_to_float32)}
    if decoding.decode_dtype(model) == model.vae.dtype:
        graphed["decoder"] = Graphed(model.vae.decoder, backend)
    return graphed


def _compile(unet: Any, decoder: Any, sizes: int) -> tuple[Any, Any]:
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, sizes)
    compiled: Any = torch.compile(unet, dynamic=False)
    compiled.register_forward_pre_hook(_cast_timestep)
    return compiled, torch.compile(decoder, dynamic=False)


def _cast_timestep(unet: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Cast the timestep to float32: schedulers use integers or floats, and each dtype would be compiled separately."""
    return timestep_to_float32(arguments)
