"""Rendering with Stable Diffusion 2.x and SDXL; all other tests use 1.x."""

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline

from darkroom_contracts.errors import JobErrorCode
from gpu_consumer.render import decoding, schedulers
from gpu_consumer.render.pipeline import Pipeline
from tests.support.models import job_input
from tests.support.rendering import Watcher, failure, open_pipeline, render


@pytest.fixture(scope="module")
def xl(tiny_sdxl_model: Path) -> Pipeline:
    return open_pipeline(tiny_sdxl_model, pipeline="StableDiffusionXLPipeline")


@pytest.fixture(scope="module")
def half_xl(tiny_sdxl_model: Path) -> Pipeline:
    """In half precision, as on a GPU."""
    return open_pipeline(tiny_sdxl_model, pipeline="StableDiffusionXLPipeline", dtype="float16")


@pytest.fixture(scope="module")
def second(tiny_sd2_model: Path) -> Pipeline:
    return open_pipeline(tiny_sd2_model)


SCHEDULER_NAMES = {"PNDMScheduler": "pndm", "DDIMScheduler": "ddim", "EulerDiscreteScheduler": "euler"}


@pytest.fixture(params=["tiny_model", "tiny_sd2_model", "tiny_sdxl_model"])
def plain(request: pytest.FixtureRequest) -> Any:
    """Load the plain diffusers pipeline of each family."""
    folder: Path = request.getfixturevalue(request.param)
    plain: Any = DiffusionPipeline.from_pretrained(folder, use_safetensors=True, local_files_only=True)
    plain.set_progress_bar_config(disable=True)
    return plain


def test_a_prompt_alone_renders_what_diffusers_renders(plain: Any) -> None:
    """A job with only a prompt gives the bytes of the plain pipeline with its defaults."""
    scheduler = SCHEDULER_NAMES[type(plain.scheduler).__name__]
    guidance = inspect.signature(type(plain).__call__).parameters["guidance_scale"].default
    side = plain.unet.config.sample_size * plain.vae_scale_factor
    ours = open_pipeline(Path(plain.name_or_path), pipeline=type(plain).__name__)
    made = render(ours, prompt="a lighthouse", scheduler=scheduler, guidance_scale=guidance, width=side, height=side)
    generator = torch.Generator("cpu").manual_seed(7)
    picture = plain("a lighthouse", num_inference_steps=3, generator=generator).images[0]
    assert made.images[0].rgb == picture.tobytes()


def theirs(pipeline: Pipeline, **changes: Any) -> bytes:
    """Return the diffusers pipeline's own picture for an input."""
    wanted = job_input(**changes)
    model = pipeline._model
    model.scheduler = schedulers.build_scheduler(
        wanted.scheduler, pipeline._scheduler_config, wanted.num_inference_steps
    )
    picture = model(
        wanted.prompt,
        negative_prompt=wanted.negative_prompt or None,
        num_inference_steps=wanted.num_inference_steps,
        guidance_scale=wanted.guidance_scale,
        width=wanted.width,
        height=wanted.height,
        generator=torch.Generator("cpu").manual_seed(wanted.seed),
    ).images[0]
    return bytes(picture.tobytes())


@pytest.mark.parametrize(
    "change",
    [{}, {"negative_prompt": "grey"}, {"guidance_scale": 1.0}, {"width": 128}],
    ids=lambda change: next(iter(change), "defaults"),
)
def test_own_decode_equals_the_pipelines(
    xl: Pipeline, half_xl: Pipeline, second: Pipeline, change: dict[str, Any]
) -> None:
    """Pictures of the other families are bit-identical to those of their diffusers pipelines, in half precision too."""
    for pipeline in (xl, half_xl, second):
        assert render(pipeline, **change).images[0].rgb == theirs(pipeline, **change)


@pytest.mark.parametrize("scheduler", schedulers.NAMES)
def test_every_scheduler_equals_the_pipelines(xl: Pipeline, second: Pipeline, scheduler: str) -> None:
    """Every scheduler renders, with v-prediction and with epsilon prediction."""
    for pipeline in (xl, second):
        assert render(pipeline, scheduler=scheduler).images[0].rgb == theirs(pipeline, scheduler=scheduler)


@pytest.mark.parametrize("name", schedulers.NAMES)
def test_every_scheduler_renders_and_shows(xl: Pipeline, name: str) -> None:
    """SDXL renders with every scheduler, previews included."""
    watcher = Watcher()
    render(xl, watcher, scheduler=name, num_inference_steps=4, preview_every=2)
    assert watcher.previews


def test_vae_of_sdxl_decodes_in_single_precision(half_xl: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """SDXL's VAE, which overflows in float16, decodes in float32, whole and in tiles, and returns to float16."""
    seen: list[torch.dtype] = []
    decode = half_xl._model.vae.decode

    def noting(latent: torch.Tensor, **named: Any) -> Any:
        seen.append(latent.dtype)
        return decode(latent, **named)

    monkeypatch.setattr(half_xl._model.vae, "decode", noting)
    render(half_xl)
    render(half_xl, frugal=True)
    assert seen == [torch.float32, torch.float32]
    assert half_xl._model.vae.dtype == torch.float16


def test_vae_of_sdxl_comes_back_from_a_lack_of_memory(half_xl: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a decode of SDXL that ran out of memory, the VAE is in float16 and the next job gives the same bytes."""
    before = render(half_xl)

    def full(*args: Any, **named: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with monkeypatch.context() as patched:
        patched.setattr(half_xl._model.vae.decoder, "forward", full)
        assert failure(half_xl).code is JobErrorCode.OUT_OF_MEMORY
    assert half_xl._model.vae.dtype == torch.float16
    assert render(half_xl).images == before.images


def test_vae_of_others_keeps_its_precision(tiny_sd2_model: Path) -> None:
    """The VAEs of the other families decode in float16, although diffusers sets `force_upcast` for them too."""
    half = open_pipeline(tiny_sd2_model, dtype="float16")
    assert half._model.vae.config.force_upcast
    assert decoding.decode_dtype(half._model) == torch.float16
