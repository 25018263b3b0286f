import io
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from torch.nn import functional

from darkroom_contracts.errors import JobErrorCode
from gpu_consumer import protocol
from gpu_consumer.render import schedulers
from gpu_consumer.render.pipeline import Pipeline
from gpu_consumer.render.previews import PreviewMap, Previews
from tests.support.rendering import Watcher, attempt, failure, render

MIX = torch.tensor([[2.0, -1.0, 0.5], [0.3, 1.5, -0.7], [-0.4, 0.2, 3.0], [1.0, 1.0, 1.0]])
"""The linear VAE's matrix, from three colours to four channels."""


class LinearVae:
    """A fake of a VAE whose latents are a linear mix of the colours, eight pixels to the cell."""

    dtype = torch.float32
    device = torch.device("cpu")
    config = SimpleNamespace(scaling_factor=0.5, get=lambda name: None)

    def encode(self, pixels: torch.Tensor) -> Any:
        mode = torch.einsum("lc,nchw->nlhw", MIX, functional.avg_pool2d(pixels, 8))
        return SimpleNamespace(latent_dist=SimpleNamespace(mode=lambda: mode))


def linear_model() -> Any:
    return SimpleNamespace(vae=LinearVae(), vae_scale_factor=8, device=torch.device("cpu"))


def opened(preview: protocol.Preview) -> Image.Image:
    picture = Image.open(io.BytesIO(preview.png))
    picture.load()
    return picture


def test_map_finds_the_colours() -> None:
    """The map, fitted to colour fields, restores the colours of another picture."""
    colours = torch.tensor([[0.9, 0.1, 0.4], [0.2, 0.8, 0.6]])  # two pixels
    latents = (0.5 * MIX @ (2 * colours - 1).T).view(4, 1, 2)
    shown = PreviewMap.fit(linear_model()).rgb(latents)
    assert (shown[0] - 255 * colours).abs().max() <= 1


def test_numbers_beyond_the_colours() -> None:
    """Latents that map beyond black and white, or to NaN, still make a picture."""
    latents = torch.tensor([1e6, -1e6, float("nan"), float("inf")]).view(4, 1, 1)
    assert PreviewMap.fit(linear_model()).rgb(latents).shape == (1, 1, 3)


def test_every_so_many_steps(pipeline: Pipeline) -> None:
    """A preview follows each interval of steps but the last step, as a PNG at an eighth of the picture's size."""
    watcher = Watcher()
    render(pipeline, watcher, num_inference_steps=9, preview_every=3, width=128)
    assert [preview.step for preview in watcher.previews] == [3, 6]
    assert {opened(preview).size for preview in watcher.previews} == {(16, 8)}
    assert {(preview.width, preview.height) for preview in watcher.previews} == {(16, 8)}
    assert watcher.previews[0].png != watcher.previews[1].png


def test_none_unless_asked_for(pipeline: Pipeline) -> None:
    """A job without previews gets none."""
    watcher = Watcher()
    render(pipeline, watcher)
    assert watcher.previews == []


def test_first_picture_only(pipeline: Pipeline) -> None:
    """Previews show the first of several pictures only."""
    watcher = Watcher()
    render(pipeline, watcher, num_images=3, preview_every=1)
    assert [preview.step for preview in watcher.previews] == [1, 2]


def test_none_after_a_cancel(pipeline: Pipeline) -> None:
    """An aborted render sends no previews of later steps."""
    watcher = Watcher(abort_at=2)
    assert attempt(pipeline, watcher, num_inference_steps=9, preview_every=1) == protocol.Aborted(2)
    assert [preview.step for preview in watcher.previews] == [1, 2]


@pytest.mark.parametrize("name", [name for name in schedulers.NAMES if name != "pndm"])
def test_shows_what_the_scheduler_foresees(pipeline: Pipeline, name: str) -> None:
    """From the first step on, a preview shows the scheduler's estimate of the final picture, not the noise."""
    scheduler = schedulers.build_scheduler(name, pipeline._scheduler_config, 10)
    scheduler.set_timesteps(10)
    previews = Previews(PreviewMap(torch.eye(4)[:, :3], torch.zeros(3)), every=1)
    previews.watch(scheduler)
    clean = torch.full((1, 4, 2, 2), 0.6)
    time = scheduler.timesteps[0]
    noisy = scheduler.add_noise(clean, torch.ones_like(clean), time.view(1))
    scaled = scheduler.scale_model_input(noisy, time)  # a perfect denoiser would find just the noise in it
    assert scaled.shape == clean.shape
    latents = scheduler.step(torch.ones_like(clean), time, noisy, return_dict=False)[0]
    previews.take(1, latents)
    shown = previews.after(1)
    assert shown is not None
    assert opened(shown).getpixel((0, 0)) == (153, 153, 153)


def test_map_is_not_fitted_in_vain(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """The VAE's encoder runs only to fit the map, once for all jobs."""
    render(pipeline, preview_every=1)
    monkeypatch.setattr(pipeline._model.vae, "encode", None)
    assert failure(pipeline, scheduler="none").code is JobErrorCode.INPUT_NOT_RENDERABLE
    render(pipeline, preview_every=1)
