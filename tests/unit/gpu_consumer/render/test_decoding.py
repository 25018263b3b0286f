from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL

from contracts.errors import JobErrorCode
from gpu_consumer.render import decoding
from gpu_consumer.render.pipeline import Pipeline
from tests.support.rendering import failure, render


class FailingDecode:
    """Stands before the VAE's decode and raises for its first calls."""

    def __init__(self, pipeline: Pipeline, failures: int) -> None:
        self._vae = pipeline._model.vae
        self._decode = self._vae.decode
        self._failures = failures
        self.tiled: list[bool] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.tiled.append(self._vae.use_tiling)
        if len(self.tiled) <= self._failures:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return self._decode(*args, **kwargs)


def test_decode_out_of_memory_is_tried_in_tiles(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decode that runs out of memory is tried once more in tiles, and the next job is whole again."""
    before = render(pipeline)
    decode = FailingDecode(pipeline, failures=1)
    monkeypatch.setattr(pipeline._model.vae, "decode", decode)
    assert render(pipeline).tiled
    assert decode.tiled == [False, True]
    after = render(pipeline)
    assert after.images == before.images
    assert not after.tiled


def test_out_of_memory_is_transient(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decode that does not fit in tiles either fails for now, tells what was tried, and the process goes on."""
    before = render(pipeline)
    with monkeypatch.context() as patched:
        patched.setattr(pipeline._model.vae, "decode", FailingDecode(pipeline, failures=2))
        failed = failure(pipeline)
    assert (failed.code, failed.kind) == (JobErrorCode.OUT_OF_MEMORY, "transient")
    assert failed.message.startswith("64x64, 1 picture, decoded in tiles, did not fit in the ")
    assert render(pipeline).images == before.images


def test_tiles_are_smaller_than_the_picture(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles are half as wide as the picture at most, so that tiling saves memory at the model's own size too."""
    decoder = pipeline._model.vae.decoder
    forward, widths = decoder.forward, []

    def measured(sample: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        widths.append(max(sample.shape[-2:]))
        return forward(sample, *args, **kwargs)

    monkeypatch.setattr(decoder, "forward", measured)
    image = render(pipeline, frugal=True, num_inference_steps=1).images[0]
    assert len(widths) > 1
    assert max(widths) == 4
    assert len(image.rgb) == 64 * 64 * 3


def test_tiles_resemble_the_whole(pipeline: Pipeline) -> None:
    """A picture decoded in tiles is much the same as one decoded whole."""
    whole = torch.frombuffer(bytearray(render(pipeline, width=256, height=256).images[0].rgb), dtype=torch.uint8)
    tiled = torch.frombuffer(
        bytearray(render(pipeline, width=256, height=256, frugal=True).images[0].rgb), dtype=torch.uint8
    )
    assert torch.corrcoef(torch.stack([whole.float(), tiled.float()]))[0, 1] > 0.8


def test_single_precision_lasts_as_long_as_the_decode(pipeline: Pipeline) -> None:
    """A VAE that was raised to another precision is back in its own, even when its decode ran out of memory."""
    vae = pipeline._model.vae
    with pytest.raises(torch.OutOfMemoryError):
        _run_out_of_memory_in_double(vae)
    assert vae.dtype == torch.float32


def _run_out_of_memory_in_double(vae: AutoencoderKL) -> None:
    with decoding.precision(vae, torch.float64):
        assert vae.dtype == torch.float64
        raise torch.OutOfMemoryError("CUDA out of memory.")


@pytest.mark.parametrize(
    "statistics", [{}, {"latents_mean": [0.1, 0.2, 0.3, 0.4], "latents_std": [1.0, 2.0, 3.0, 4.0]}]
)
def test_scales(statistics: dict[str, Any]) -> None:
    """Latents scaled for the denoiser and back are what they were, by factor alone or by each channel's statistics."""
    vae = AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, latent_channels=4, **statistics)
    latents = torch.arange(16.0).view(1, 4, 2, 2)
    scaled = decoding.scale(vae, latents)
    assert not torch.allclose(scaled, latents)
    assert torch.allclose(decoding.unscale(vae, scaled), latents)
