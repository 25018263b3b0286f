"""Previews of a running render: one pixel per latent cell, by a linear map from latents to RGB.

The map is fitted when the model is loaded, so it suits any VAE and needs no weights of its own: random colour fields
are encoded by the model's VAE, and least squares map its latent channels to red, green and blue. The reasons and the
measured quality are in docs/decisions/0013.
"""

import functools
import io
from typing import Any

import torch
from diffusers import DiffusionPipeline
from PIL import Image
from torch.nn import functional

from gpu_consumer.protocol import Preview
from gpu_consumer.render import decoding

FIELDS = 24
"""Number of random colour fields that the map is fitted to. Each has more cells than the map has coefficients."""
CELLS = 16
"""Width and height of a field, in latent cells."""
SEED = 1


class PreviewMap:
    """A linear map from latents to RGB: `matrix` (channels x 3) and `bias` (3), on the latents' device. Use `fit`."""

    def __init__(self, matrix: torch.Tensor, bias: torch.Tensor) -> None:
        self._matrix = matrix
        self._bias = bias

    @classmethod
    def fit(cls, model: DiffusionPipeline) -> "PreviewMap":
        """Fit the map to the model's VAE: milliseconds on a GPU, 0.25 s for the tiny model on a CPU."""
        fields = _colour_fields(CELLS * model.vae_scale_factor)
        encoded = torch.cat([decoding.encode(model.vae, 2 * field - 1) for field in fields.split(1)])
        latents = torch.nan_to_num(encoded).double().cpu()
        colours = functional.interpolate(fields, size=latents.shape[-2:], mode="area").double()
        rows = _pixels(latents)
        inputs = torch.cat([rows, rows.new_ones(len(rows), 1)], dim=1)
        # gelsd supports rank-deficient input: some latent channels carry no colour.
        solution = torch.linalg.lstsq(inputs, _pixels(colours), driver="gelsd").solution
        matrix, bias = solution[:-1].float(), solution[-1].float()
        return cls(matrix.to(model.device), bias.to(model.device))

    def rgb(self, latents: torch.Tensor) -> torch.Tensor:
        """Map one picture's latents (channels x height x width) to bytes (height x width x 3) on their device."""
        colours = latents.float().permute(1, 2, 0) @ self._matrix + self._bias
        return (torch.nan_to_num(colours).clamp(0, 1) * 255).round().to(torch.uint8)


class Previews:
    """The previews of one render: one after every `every` steps, of the first picture."""

    def __init__(self, preview_map: PreviewMap, every: int) -> None:
        self._map = preview_map
        self._every = every
        self._estimate: torch.Tensor | None = None
        self._taken: dict[int, torch.Tensor] = {}

    def watch(self, scheduler: Any) -> None:
        """Wrap a scheduler's `step` to read its estimate of the final latents, which shows more than noisy latents."""
        step = scheduler.step

        @functools.wraps(step)  # diffusers inspects the signature for the parameters that the scheduler accepts
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            result = step(*args, **kwargs)
            self._estimate = _estimate(scheduler, result)
            return result

        scheduler.step = wrapped

    def take(self, step: int, latents: torch.Tensor) -> None:
        """Enqueue the preview of a step, if one is due, without waiting for the device."""
        if step % self._every == 0:
            shown = latents if self._estimate is None else self._estimate
            self._taken[step] = _to_host(self._map.rgb(shown[0]))

    def after(self, step: int) -> Preview | None:
        """Return the preview of a completed step, if one was enqueued."""
        rgb = self._taken.pop(step, None)
        return None if rgb is None else Preview(step, rgb.shape[1], rgb.shape[0], _png(rgb))


def _estimate(scheduler: Any, result: Any) -> torch.Tensor | None:
    """Return the scheduler's estimate of the final latents after a step; None if it has none (pndm).

    Most schedulers return it beside the next sample; multistep schedulers store it for their next step.
    """
    if len(result) > 1:
        estimate: torch.Tensor = result[1]
        return estimate
    stored = getattr(scheduler, "model_outputs", None)
    return stored[-1] if stored else None


def _to_host(rgb: torch.Tensor) -> torch.Tensor:
    """Start a copy to pinned host memory, complete once the device has completed the step before it."""
    if not rgb.is_cuda:
        return rgb
    host = torch.empty(rgb.shape, dtype=rgb.dtype, pin_memory=True)
    return host.copy_(rgb, non_blocking=True)


def _png(rgb: torch.Tensor) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(rgb.numpy()).save(stream, "png", compress_level=1)
    return stream.getvalue()


def _colour_fields(side: int) -> torch.Tensor:
    """Return pictures (n x 3 x side x side, 0 to 1): random colours on a 3 x 3 grid, interpolated."""
    grid = torch.rand(FIELDS, 3, 3, 3, generator=torch.Generator().manual_seed(SEED))
    return functional.interpolate(grid, size=(side, side), mode="bilinear", align_corners=True)


def _pixels(images: torch.Tensor) -> torch.Tensor:
    """Reshape n x channels x height x width to rows of channels."""
    return images.permute(0, 2, 3, 1).flatten(0, 2)
