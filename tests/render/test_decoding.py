from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL

from darkroom_contracts.errors import JobErrorCode
from gpu_consumer.render import decoding, memory
from gpu_consumer.render.decoder import Decoder
from gpu_consumer.render.pipeline import Pipeline
from tests.support.rendering import failure, open_pipeline, render


class FailingDecode:
    """A wrapper of the VAE's decode that raises for its first calls."""

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


@pytest.fixture
def fresh(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """Return the pipeline without any size known to need tiles."""
    monkeypatch.setattr(pipeline, "_decoder", Decoder(pipeline._model, pipeline._decoder._engines))
    return pipeline


def test_decode_out_of_memory_is_tried_in_tiles(fresh: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decode that runs out of memory is repeated in tiles, and so are the job's next pictures."""
    before = render(fresh, num_images=2)
    assert not before.tiled
    decode = FailingDecode(fresh, failures=1)
    monkeypatch.setattr(fresh._model.vae, "decode", decode)
    made = render(fresh, num_images=2)
    assert decode.tiled == [False, True, True]
    assert [picture.tiled for picture in made.pictures] == [True, True]
    assert made.images != before.images


def test_a_size_that_only_decodes_in_tiles_is_remembered(
    fresh: Pipeline, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Later jobs of the size start with tiles, other sizes are decoded whole, and the log has one line."""
    decode = FailingDecode(fresh, failures=1)
    monkeypatch.setattr(fresh._model.vae, "decode", decode)
    first, again = render(fresh), render(fresh)
    assert decode.tiled == [False, True, True]
    assert again.images == first.images
    assert not render(fresh, width=72).tiled
    assert capsys.readouterr().out == (
        "Decoding a 64x64 picture whole ran out of memory. Pictures of this size are decoded in tiles until the render "
        "process restarts.\n"
    )


def test_tiles_that_were_asked_for_are_not_remembered(fresh: Pipeline) -> None:
    """After a frugal job, the next job of its size is decoded whole."""
    assert render(fresh, frugal=True).tiled
    assert not render(fresh).tiled


def test_out_of_memory_is_transient(fresh: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decode that runs out of memory in tiles too is a transient failure that names the fallbacks."""
    before = render(fresh)
    with monkeypatch.context() as patched:
        patched.setattr(fresh._model.vae, "decode", FailingDecode(fresh, failures=2))
        failed = failure(fresh)
    assert (failed.code, failed.kind) == (JobErrorCode.OUT_OF_MEMORY, "transient")
    assert failed.message.startswith("64x64, 1 picture, decoded in tiles, did not fit in the ")
    assert render(fresh).images == before.images


def test_a_lack_of_memory_in_disguise_is_tried_in_tiles(fresh: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """With low memory, a decode without a cuDNN engine is repeated in tiles."""
    decode = fresh._model.vae.decode

    def without_engine(*args: Any, **named: Any) -> Any:
        if not fresh._model.vae.use_tiling:
            raise RuntimeError("GET was unable to find an engine to execute this computation")
        return decode(*args, **named)

    monkeypatch.setattr(fresh._model.vae, "decode", without_engine)
    assert failure(fresh).code is JobErrorCode.PIPELINE_ERROR
    monkeypatch.setattr(memory, "free_share", lambda: 0.01)
    assert render(fresh).tiled


@pytest.fixture
def half(tiny_model: Path) -> Pipeline:
    """Return the pipeline in float16, as on a GPU."""
    return open_pipeline(tiny_model, dtype="float16")


def make_overflow(vae: AutoencoderKL) -> None:
    """Make the decoder exceed 65,504 before its last normalisation, so that it overflows in float16 only."""
    vae.decoder.conv_in.weight.data.mul_(3e4)


def test_vae_that_overflows_in_half_decodes_in_single_precision(half: Pipeline) -> None:
    """A picture that overflows in float16 is decoded in float32, and its record says so."""
    assert render(half).pictures[0].vae_dtype == "float16"
    make_overflow(half._model.vae)
    made = render(half, num_images=2)
    assert [picture.vae_dtype for picture in made.pictures] == ["float32", "float32"]
    assert made.vae_dtype == "float32"
    assert all(max(picture.image.rgb) > min(picture.image.rgb) for picture in made.pictures)
    assert half._model.vae.dtype == torch.float16


def test_the_weights_are_restored_without_memory(half: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decode that ran out of memory leaves none to convert the weights back with."""
    vae = half._model.vae
    before = [weight.data_ptr() for weight in vae.parameters()]
    convert = vae.to

    def scarce(dtype: torch.dtype) -> Any:
        if dtype is torch.float16 and any(weight.dtype != dtype for weight in vae.parameters()):
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return convert(dtype)

    monkeypatch.setattr(vae, "to", scarce)
    with pytest.raises(torch.OutOfMemoryError, match="while decoding"), decoding.precision(vae, torch.float32):
        raise torch.OutOfMemoryError("CUDA out of memory while decoding.")
    assert [weight.data_ptr() for weight in vae.parameters()] == before


def test_single_precision_is_not_remembered(half: Pipeline) -> None:
    """A picture that does not overflow is decoded in float16, whatever overflowed before it."""
    before = render(half)
    weights = half._model.vae.decoder.conv_in.weight.data.clone()
    make_overflow(half._model.vae)
    assert render(half).vae_dtype == "float32"
    half._model.vae.decoder.conv_in.weight.data.copy_(weights)
    after = render(half)
    assert (after.vae_dtype, after.images) == ("float16", before.images)


def test_overflow_in_single_precision_too_fails(half: Pipeline) -> None:
    """A VAE that produces NaN in float32 too fails the job permanently."""
    half._model.vae.decoder.conv_out.bias.data.fill_(float("nan"))
    assert failure(half).code is JobErrorCode.NON_FINITE_OUTPUT


def test_latents_that_are_not_finite_are_not_decoded_again(half: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Latents with NaN fail the job after one decode."""
    half._model.unet.conv_out.bias.data.fill_(float("nan"))
    decode = FailingDecode(half, failures=0)
    monkeypatch.setattr(half._model.vae, "decode", decode)
    assert failure(half).code is JobErrorCode.NON_FINITE_OUTPUT
    assert len(decode.tiled) == 1


def test_tiles_are_smaller_than_the_picture(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles are at most half as wide as the picture, so that tiling saves memory at the model's own size."""
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
    """A picture decoded in tiles is similar to one decoded whole."""
    whole = torch.frombuffer(bytearray(render(pipeline, width=256, height=256).images[0].rgb), dtype=torch.uint8)
    tiled = torch.frombuffer(
        bytearray(render(pipeline, width=256, height=256, frugal=True).images[0].rgb), dtype=torch.uint8
    )
    assert torch.corrcoef(torch.stack([whole.float(), tiled.float()]))[0, 1] > 0.8


def test_single_precision_lasts_as_long_as_the_decode(pipeline: Pipeline) -> None:
    """After a decode in another dtype, even a failed one, the VAE has its own dtype and addresses again."""
    vae = pipeline._model.vae
    places = [weights.data_ptr() for weights in vae.parameters()]
    with pytest.raises(torch.OutOfMemoryError):
        _run_out_of_memory_in_double(vae)
    assert vae.dtype == torch.float32
    assert [weights.data_ptr() for weights in vae.parameters()] == places


def _run_out_of_memory_in_double(vae: AutoencoderKL) -> None:
    with decoding.precision(vae, torch.float64):
        assert vae.dtype == torch.float64
        raise torch.OutOfMemoryError("CUDA out of memory.")


@pytest.mark.parametrize(
    "statistics", [{}, {"latents_mean": [0.1, 0.2, 0.3, 0.4], "latents_std": [1.0, 2.0, 3.0, 4.0]}]
)
def test_scales(statistics: dict[str, Any]) -> None:
    """Scaling and unscaling restores latents, by the factor alone and by each channel's statistics."""
    vae = AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, latent_channels=4, **statistics)
    latents = torch.arange(16.0).view(1, 4, 2, 2)
    scaled = decoding.scale(vae, latents)
    assert not torch.allclose(scaled, latents)
    assert torch.allclose(decoding.unscale(vae, scaled), latents)
