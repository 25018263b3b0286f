"""How UNet and VAE decoder compute: the memory layout, and compiled code or CUDA graphs for the warm-up's sizes."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from diffusers import DiffusionPipeline

from gpu_consumer.protocol import Load, Size
from gpu_consumer.render import decoding, memory
from gpu_consumer.render.graphs import Backend, CudaBackend, Graphed, time_in_single_precision


class Engines:
    """Chooses for each render between the prepared networks and the plain ones.

    Compiled code and CUDA graphs are good for one shape, and compiling takes a minute or more for each new one, in
    which a job would seem to hang. So they serve the sizes of the warm-up, guided where the model's default guidance is
    guided and unguided where it is not (as for distilled models), and the plain networks serve the rest.
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
        """Graphs that could not be captured: their shapes are served eagerly."""

    def prepare_denoise(self, size: Size, guidance_scale: float) -> None:
        """To be called before a batch is denoised."""
        prepared = size in self._warm and self._is_guided(guidance_scale) == self._guided
        self._model.unet = (self._compiled if prepared else self._plain)[0]
        if "UNet" in self._graphed:
            self._graphed["UNet"].serve(prepared)

    def prepare_decode(self, size: Size, *, tiled: bool) -> None:
        """To be called before a picture is decoded."""
        prepared = size in self._warm and not tiled
        self._model.vae.decoder = (self._compiled if prepared else self._plain)[1]
        if "decoder" in self._graphed:
            self._graphed["decoder"].serve(prepared)

    @contextlib.contextmanager
    def capturing(self, size: Size) -> Iterator[None]:
        """Where graphs are wanted, capture those of a size after the render within. A failure is counted, not raised.

        Only the warm-up captures: a capture waits for the device and takes memory, and no job should meet that.
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
        except Exception as error:  # whatever the device says, the answer is the same: such jobs are rendered eagerly
            reason = " ".join(f"{type(error).__name__}: {error}".split())
        else:
            return
        memory.release()
        self.failed_captures += 1
        print(f"no CUDA graph of the {what}: {reason}", flush=True)  # noqa: T201 - goes to the log

    def _is_guided(self, scale: float) -> bool:
        """Whether the UNet sees each picture twice, as diffusers' pipelines decide it in `__call__`.

        A UNet that takes the scale as an input (`time_cond_proj_dim`, in latent consistency models) never does.
        """
        return scale > 1 and self._plain[0].config.time_cond_proj_dim is None


def _graph(model: DiffusionPipeline, backend: Backend) -> dict[str, Graphed]:
    """By what the log calls them. A decoder that has to work in single precision is moved for each decode: no graph."""
    graphed = {"UNet": Graphed(model.unet, backend, time_in_single_precision)}
    if decoding.bearable(model) == model.vae.dtype:
        graphed["decoder"] = Graphed(model.vae.decoder, backend)
    return graphed


def _compile(unet: Any, decoder: Any, sizes: int) -> tuple[Any, Any]:
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, sizes)
    compiled: Any = torch.compile(unet, dynamic=False)
    compiled.register_forward_pre_hook(_single_time_dtype)
    return compiled, torch.compile(decoder, dynamic=False)


def _single_time_dtype(unet: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Schedulers count time in whole numbers or fractions; compiled code would be made anew for each of the two."""
    return time_in_single_precision(arguments)
