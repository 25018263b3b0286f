"""Small pictures of a render on its way: one pixel for each cell of the latents, by a linear map.

The map is fitted when the model is loaded, so it suits any VAE and needs no weights of its own: soft colour fields
are encoded by the model's own VAE, and least squares find how its channels make red, green and blue. Why, and how
well it does: docs/decisions/0013.
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
"""Soft fields of random colours, each with more cells than the map has numbers."""
CELLS = 16
"""Width and height of a field's latents."""
SEED = 1


class PreviewMap:
    """Latents to RGB, linear: `matrix` (channels x 3) and `bias` (3), on the latents' device. Use `fit`."""

    def __init__(self, matrix: torch.Tensor, bias: torch.Tensor) -> None:
        self._matrix = matrix
        self._bias = bias

    @classmethod
    def fit(cls, model: DiffusionPipeline) -> "PreviewMap":
        """Takes one small encode: milliseconds on a GPU, a quarter of a second for the tiny model on a CPU."""
        fields = _colour_fields(CELLS * model.vae_scale_factor)
        encoded = torch.cat([decoding.encode(model.vae, 2 * field - 1) for field in fields.split(1)])
        latents = torch.nan_to_num(encoded).double().cpu()
        colours = functional.interpolate(fields, size=latents.shape[-2:], mode="area").double()
        rows = _pixels(latents)
        inputs = torch.cat([rows, rows.new_ones(len(rows), 1)], dim=1)
        # gelsd bears channels that say nothing.
        solution = torch.linalg.lstsq(inputs, _pixels(colours), driver="gelsd").solution
        matrix, bias = solution[:-1].float(), solution[-1].float()
        return cls(matrix.to(model.device), bias.to(model.device))

    def rgb(self, latents: torch.Tensor) -> torch.Tensor:
        """Bytes (height x width x 3) of one picture's latents (channels x height x width), on their device."""
        colours = latents.float().permute(1, 2, 0) @ self._matrix + self._bias
        return (torch.nan_to_num(colours).clamp(0, 1) * 255).round().to(torch.uint8)


class Previews:
    """The previews of one render: every so many steps, of the first picture."""

    def __init__(self, preview_map: PreviewMap, every: int) -> None:
        self._map = preview_map
        self._every = every
        self._estimate: torch.Tensor | None = None
        self._taken: dict[int, torch.Tensor] = {}

    def watch(self, scheduler: Any) -> None:
        """Listen to a scheduler for what it takes the finished picture to be, which shows more than noisy latents."""
        step = scheduler.step

        @functools.wraps(step)  # diffusers looks at the parameters to know what the scheduler understands
        def listened(*args: Any, **kwargs: Any) -> Any:
            result = step(*args, **kwargs)
            self._estimate = _estimate(scheduler, result)
            return result

        scheduler.step = listened

    def take(self, step: int, latents: torch.Tensor) -> None:
        """Begin a preview of a step that was enqueued, if one is due; nothing waits for the device here."""
        if step % self._every == 0:
            shown = latents if self._estimate is None else self._estimate
            self._taken[step] = _to_host(self._map.rgb(shown[0]))

    def after(self, step: int) -> Preview | None:
        """The preview of a step that is done, if one was begun."""
        rgb = self._taken.pop(step, None)
        return None if rgb is None else Preview(step, rgb.shape[1], rgb.shape[0], _png(rgb))


def _estimate(scheduler: Any, result: Any) -> torch.Tensor | None:
    """The finished picture's latents as the scheduler foresees them after a step; None where it does not tell (pndm).

    Most hand it over beside the next sample; the multistep ones keep it for their next step.
    """
    if len(result) > 1:
        foreseen: torch.Tensor = result[1]
        return foreseen
    kept = getattr(scheduler, "model_outputs", None)
    return kept[-1] if kept else None


def _to_host(rgb: torch.Tensor) -> torch.Tensor:
    """A copy that is whole once the device has done the step that it follows."""
    if not rgb.is_cuda:
        return rgb
    host = torch.empty(rgb.shape, dtype=rgb.dtype, pin_memory=True)
    return host.copy_(rgb, non_blocking=True)


def _png(rgb: torch.Tensor) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(rgb.numpy()).save(stream, "png", compress_level=1)
    return stream.getvalue()


def _colour_fields(side: int) -> torch.Tensor:
    """Pictures (n x 3 x side x side, 0 to 1): colours drawn at random on a grid of 3 x 3, and blended between."""
    grid = torch.rand(FIELDS, 3, 3, 3, generator=torch.Generator().manual_seed(SEED))
    return functional.interpolate(grid, size=(side, side), mode="bilinear", align_corners=True)


def _pixels(images: torch.Tensor) -> torch.Tensor:
    """n x channels x height x width to rows of channels."""
    return images.permute(0, 2, 3, 1).flatten(0, 2)
