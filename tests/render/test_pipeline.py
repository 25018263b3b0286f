from typing import Any

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor2_0
from PIL import Image

from darkroom_contracts.errors import JobErrorCode
from gpu_consumer import protocol
from gpu_consumer.render import schedulers
from gpu_consumer.render.pipeline import Pipeline
from tests.support.models import job_input
from tests.support.rendering import Watcher, attempt, failure, render, weights_gone_bad


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
    """The tiny model's picture has the requested size and contrast in every channel."""
    image = render(pipeline, width=128, num_inference_steps=10).images[0]
    picture = Image.frombytes("RGB", (image.width, image.height), image.rgb)
    assert picture.size == (128, 64)
    channels = [band.tobytes() for band in picture.split()]
    assert all(max(channel) - min(channel) > 100 for channel in channels)


def test_own_decode_equals_the_pipelines(pipeline: Pipeline) -> None:
    """The picture is bit-identical to the diffusers pipeline's own."""
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


@pytest.mark.parametrize("name", schedulers.NAMES)
@pytest.mark.parametrize("steps", [1, 2, 8])
def test_every_scheduler_renders(pipeline: Pipeline, name: str, steps: int) -> None:
    """Every scheduler renders at any number of steps, and its progress ends at its own total."""
    watcher = Watcher()
    rendered = render(pipeline, watcher, scheduler=name, num_inference_steps=steps)
    total = watcher.steps[-1][1]
    assert rendered.steps == total
    assert watcher.steps == [(step, total) for step in range(1, total + 1)]


def test_abort_stops_at_its_step(pipeline: Pipeline) -> None:
    """An abort ends the render at the current step."""
    watcher = Watcher(abort_at=4)
    assert attempt(pipeline, watcher, num_inference_steps=50) == protocol.Aborted(step=4)
    assert watcher.steps[-1] == (4, 50)


def test_abort_before_the_decode(pipeline: Pipeline) -> None:
    """An abort during the last step stops the render before its pictures are decoded."""
    watcher = Watcher(abort_at=3)
    assert attempt(pipeline, watcher, num_inference_steps=3) == protocol.Aborted(step=3)


def test_abort_before_the_first_step(pipeline: Pipeline) -> None:
    """An abort before the render begins prevents every step."""
    watcher = Watcher()
    watcher.abort.set()
    assert attempt(pipeline, watcher) == protocol.Aborted(step=0)
    assert watcher.steps == []


def test_abort_between_two_decodes(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """An abort while the first of several pictures is decoded stops the render before the second."""
    watcher = Watcher()
    decode = pipeline._model.vae.decode
    calls: list[Any] = []

    def aborting(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        watcher.abort.set()
        return decode(*args, **kwargs)

    monkeypatch.setattr(pipeline._model.vae, "decode", aborting)
    assert attempt(pipeline, watcher, num_images=3) == protocol.Aborted(step=9)
    assert len(calls) == 1


def test_attention_is_the_fused_kind(pipeline: Pipeline) -> None:
    """UNet and VAE use PyTorch's scaled dot product attention, whose memory does not grow quadratically."""
    processors = [*pipeline._model.unet.attn_processors.values(), *pipeline._model.vae.attn_processors.values()]
    assert {type(processor) for processor in processors} == {AttnProcessor2_0}


def test_phases_make_up_the_whole(pipeline: Pipeline) -> None:
    """Denoising and decoding are measured separately and add up to the render's time."""
    rendered = render(pipeline)
    assert rendered.phases.denoise > rendered.phases.decode > 0
    assert 1000 * (rendered.phases.denoise + rendered.phases.decode) == pytest.approx(rendered.inference_ms)


@pytest.mark.parametrize(
    "change",
    [
        {"scheduler": "ddpm"},
        {"num_inference_steps": 0},
        {"num_inference_steps": 1001},
        {"width": 60},
        {"height": 0},
        {"width": 2**15, "height": 2**15},
    ],
    ids=str,
)
def test_input_that_cannot_be_rendered(pipeline: Pipeline, change: dict[str, Any]) -> None:
    """Input that the model can't render fails permanently, before any step."""
    watcher = Watcher()
    outcome = attempt(pipeline, watcher, **change)
    assert isinstance(outcome, protocol.RenderFailed)
    assert (outcome.code, outcome.kind) == (JobErrorCode.INPUT_NOT_RENDERABLE, "permanent")
    assert watcher.steps == []


def test_the_bound_of_a_frame_is_each_picture_s_own(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures that each fit in a frame are rendered, whatever their total size."""
    monkeypatch.setattr(protocol, "MAX_PIXEL_BYTES", 64 * 64 * 3)
    assert len(render(pipeline, num_images=2, num_inference_steps=1).images) == 2
    assert failure(pipeline, width=72, num_inference_steps=1).code is JobErrorCode.INPUT_NOT_RENDERABLE


def test_each_picture_is_handed_over_once_decoded(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first picture is reported, with its index and seed, before the second is decoded."""
    watcher = Watcher()
    decode = pipeline._model.vae.decode
    handed_over: list[int] = []

    def counting(*args: Any, **kwargs: Any) -> Any:
        handed_over.append(len(watcher.pictures))
        return decode(*args, **kwargs)

    monkeypatch.setattr(pipeline._model.vae, "decode", counting)
    made = render(pipeline, watcher, num_images=3, num_inference_steps=1)
    assert handed_over == [0, 1, 2]
    assert [(picture.index, picture.image.seed) for picture in made.pictures] == [(0, 7), (1, 8), (2, 9)]


def test_non_finite_output(pipeline: Pipeline) -> None:
    """Weights that produce NaN fail the job permanently instead of storing a black picture."""
    with weights_gone_bad(pipeline):
        failed = failure(pipeline)
    assert (failed.code, failed.kind) == (JobErrorCode.NON_FINITE_OUTPUT, "permanent")


def test_the_log_of_a_failure_holds_no_prompt(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The traceback of a failed render is logged, with the frames of its causes, but without the prompts."""

    known: dict[str, int] = {}

    def refuse(prompt: str, **named: Any) -> None:
        try:
            known[prompt] += 1
        except KeyError as error:
            raise ValueError(f"can't encode {prompt!r} beside {named['negative_prompt']}") from error

    monkeypatch.setattr(pipeline._model, "encode_prompt", refuse)
    failure(pipeline, prompt="an old\nlighthouse", negative_prompt="a grey cat", guidance_scale=7.5)
    logged = capsys.readouterr().err
    assert "in refuse" in logged
    assert "KeyError: " in logged
    assert "ValueError: can't encode " in logged
    assert not [word for word in ("lighthouse", "grey cat") if word in logged]
