from threading import Event
from typing import Any

import pytest
import torch
from PIL import Image

from contracts.errors import JobErrorCode
from gpu_consumer.render import protocol, schedulers
from gpu_consumer.render.pipeline import Pipeline
from tests.support.models import job_input


class Watcher:
    """Collects steps, and sets the abort at one of them."""

    def __init__(self, abort_at: int | None = None) -> None:
        self.steps: list[tuple[int, int]] = []
        self.abort = Event()
        self._abort_at = abort_at

    def __call__(self, step: int, steps: int) -> None:
        self.steps.append((step, steps))
        if step == self._abort_at:
            self.abort.set()


def render(pipeline: Pipeline, **changes: Any) -> protocol.Rendered:
    """Render and insist on pictures."""
    watcher = Watcher()
    outcome = pipeline.render(job_input(**changes), watcher, watcher.abort)
    assert isinstance(outcome, protocol.Rendered), outcome
    return outcome


def test_same_seed_same_bytes(pipeline: Pipeline) -> None:
    """The same input renders to the same bytes, and another seed to others."""
    first, again, other = (render(pipeline, seed=seed).images[0].rgb for seed in (7, 7, 8))
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "a lighthouse in fog"},
        {"negative_prompt": "grey"},
        {"guidance_scale": 1.0},
        {"num_inference_steps": 4},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_setting_counts(pipeline: Pipeline, change: dict[str, Any]) -> None:
    """Prompt, negative prompt, guidance and steps all change the picture."""
    assert render(pipeline, **change).images[0].rgb != render(pipeline).images[0].rgb


def test_picture_is_not_flat(pipeline: Pipeline) -> None:
    """The tiny model's picture has the size that was asked for and contrast in every channel."""
    image = render(pipeline, width=128, num_inference_steps=10).images[0]
    picture = Image.frombytes("RGB", (image.width, image.height), image.rgb)
    assert picture.size == (128, 64)
    channels = [band.tobytes() for band in picture.split()]
    assert all(max(channel) - min(channel) > 100 for channel in channels)


def test_own_decode_equals_the_pipelines(pipeline: Pipeline) -> None:
    """The picture is bit-identical to what the diffusers pipeline itself would have made."""
    wanted = job_input()
    ours = render(pipeline)
    theirs = pipeline._model(
        wanted.prompt,
        negative_prompt="",
        num_inference_steps=wanted.num_inference_steps,
        guidance_scale=wanted.guidance_scale,
        width=wanted.width,
        height=wanted.height,
        generator=torch.Generator("cpu").manual_seed(wanted.seed),
    ).images[0]
    assert ours.images[0].rgb == theirs.tobytes()


def test_seeds_count_up_and_wrap(pipeline: Pipeline) -> None:
    """Image i is drawn from seed + i, modulo 2^32."""
    images = render(pipeline, seed=2**32 - 2, num_images=3).images
    assert [image.seed for image in images] == [2**32 - 2, 2**32 - 1, 0]
    assert len({image.rgb for image in images}) == 3


def test_image_of_a_batch_alone(pipeline: Pipeline) -> None:
    """A picture of a batch, asked for alone by its seed, is the same up to rounding."""
    of_batch = render(pipeline, seed=5, num_images=3).images[1]
    alone = render(pipeline, seed=6).images[0]
    differences = [abs(one - other) for one, other in zip(of_batch.rgb, alone.rgb, strict=True)]
    assert of_batch.seed == alone.seed
    assert max(differences) <= 2


@pytest.mark.parametrize("name", schedulers.NAMES)
@pytest.mark.parametrize("steps", [1, 2, 8])
def test_every_scheduler_renders(pipeline: Pipeline, name: str, steps: int) -> None:
    """Every scheduler renders at any number of steps, and its progress ends at its own total."""
    watcher = Watcher()
    outcome = pipeline.render(job_input(scheduler=name, num_inference_steps=steps), watcher, watcher.abort)
    assert isinstance(outcome, protocol.Rendered), outcome
    total = watcher.steps[-1][1]
    assert watcher.steps == [(step, total) for step in range(1, total + 1)]


def test_schedulers_leave_no_trace(pipeline: Pipeline) -> None:
    """A scheduler's settings do not leak into the next job's."""
    before = render(pipeline, scheduler="dpmpp_2m", num_inference_steps=6).images
    karras = render(pipeline, scheduler="dpmpp_2m_karras", num_inference_steps=6).images
    assert karras != before
    assert render(pipeline, scheduler="dpmpp_2m", num_inference_steps=6).images == before


def test_abort_stops_at_its_step(pipeline: Pipeline) -> None:
    """An abort ends the render at the step it came in, and the next job renders as if nothing had been."""
    before = render(pipeline)
    watcher = Watcher(abort_at=4)
    outcome = pipeline.render(job_input(num_inference_steps=50), watcher, watcher.abort)
    assert outcome == protocol.Aborted(step=4)
    assert watcher.steps[-1] == (4, 50)
    assert render(pipeline).images == before.images


def test_abort_before_the_decode(pipeline: Pipeline) -> None:
    """An abort that comes with the last step still stops the render before its pictures are decoded."""
    watcher = Watcher(abort_at=3)
    assert pipeline.render(job_input(num_inference_steps=3), watcher, watcher.abort) == protocol.Aborted(step=3)


@pytest.mark.parametrize(
    "change",
    [
        {"scheduler": "ddpm"},
        {"num_inference_steps": 0},
        {"width": 60},
        {"height": 0},
        {"width": 2**15, "height": 2**15},
    ],
    ids=str,
)
def test_input_that_cannot_be_rendered(pipeline: Pipeline, change: dict[str, Any]) -> None:
    """Input that this model can't render fails for good, before any step."""
    watcher = Watcher()
    outcome = pipeline.render(job_input(**change), watcher, watcher.abort)
    assert isinstance(outcome, protocol.RenderFailed)
    assert (outcome.code, outcome.kind) == (JobErrorCode.INPUT_NOT_RENDERABLE, "permanent")
    assert watcher.steps == []


def test_non_finite_output(pipeline: Pipeline) -> None:
    """Weights that produce NaN fail the job for good instead of storing a black picture."""
    bias = pipeline._model.vae.decoder.conv_out.bias
    original = bias.detach().clone()
    with torch.no_grad():
        bias.fill_(float("nan"))
    try:
        outcome = pipeline.render(job_input(), Watcher(), Event())
    finally:
        with torch.no_grad():
            bias.copy_(original)
    assert isinstance(outcome, protocol.RenderFailed)
    assert (outcome.code, outcome.kind) == (JobErrorCode.NON_FINITE_OUTPUT, "permanent")


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
    render(pipeline)
    assert decode.tiled == [False, True]
    assert render(pipeline).images == before.images


def test_out_of_memory_is_transient(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """A render out of memory fails for now, and the process goes on rendering."""
    before = render(pipeline)
    with monkeypatch.context() as patched:
        patched.setattr(pipeline._model.vae, "decode", FailingDecode(pipeline, failures=2))
        outcome = pipeline.render(job_input(), Watcher(), Event())
    assert isinstance(outcome, protocol.RenderFailed)
    assert (outcome.code, outcome.kind) == (JobErrorCode.OUT_OF_MEMORY, "transient")
    assert render(pipeline).images == before.images
