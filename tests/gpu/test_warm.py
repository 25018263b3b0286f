"""A full-size pipeline in float16: loaded, warmed up, measured. `make gpu` prints the figures."""

import time
from pathlib import Path
from statistics import median

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor2_0

from gpu_consumer.render import memory, warmup
from gpu_consumer.render.pipeline import Pipeline
from tests.gpu.conftest import SIZES, on_gpu, tell
from tests.support.rendering import open_pipeline, render

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(900)]
STEPS = 25


def mean_difference(one: bytes, other: bytes) -> float:
    """Return the largest difference of two pictures, in levels of 255."""
    pixels = [torch.frombuffer(bytearray(rgb), dtype=torch.uint8).float() for rgb in (one, other)]
    return float((pixels[0] - pixels[1]).abs().mean())


def test_half_precision_and_fused_attention(warm: Pipeline) -> None:
    """Weights are float16 on the GPU, and attention is PyTorch's fused implementation."""
    assert warm.dtype == "float16"
    assert {weights.dtype for weights in warm._model.unet.parameters()} == {torch.float16}
    assert {weights.device.type for weights in warm._model.vae.parameters()} == {"cuda"}
    assert {type(processor) for processor in warm._model.unet.attn_processors.values()} == {AttnProcessor2_0}


def test_figures(full_size_model: Path, warm: Pipeline, gpu: str) -> None:
    """The warm-up of all sizes takes less than a minute, and the first job is as fast as later ones."""
    started = time.perf_counter()
    fresh = open_pipeline(full_size_model, device="cuda", dtype="float16", sizes=SIZES)
    loaded = time.perf_counter()
    warmup.warm_up(fresh, on_gpu(full_size_model))
    warmed = time.perf_counter()
    tell(f"{gpu}: load {loaded - started:.2f} s, warm-up {warmed - loaded:.2f} s")
    del fresh
    memory.release()
    tell(f"held {memory.held('cuda') / memory.GIBIBYTE:.2f} GiB")
    for size in SIZES:
        renders = [render(warm, width=size.width, height=size.height, num_inference_steps=STEPS) for _ in range(3)]
        denoise = median(rendered.phases.denoise for rendered in renders)
        decode = median(rendered.phases.decode for rendered in renders)
        peak = max(rendered.peak_memory_bytes for rendered in renders) / memory.GIBIBYTE
        tell(
            f"{size.width}x{size.height}: {STEPS / denoise:.1f} steps/s, decode {1000 * decode:.0f} ms, "
            f"peak {peak:.2f} GiB"
        )
        assert renders[0].inference_ms < 1.5 * median(rendered.inference_ms for rendered in renders)
    assert warmed - started < 60


@pytest.mark.parametrize("option", ["channels_last", pytest.param("compile", marks=pytest.mark.long)])
def test_options_render_the_same(full_size_model: Path, warm: Pipeline, option: str) -> None:
    """The channels_last layout and compiled code give nearly the same picture, each with the same bytes twice."""
    sizes = SIZES[:1]
    optioned = open_pipeline(full_size_model, device="cuda", dtype="float16", sizes=sizes, **{option: True})
    started = time.perf_counter()
    warmup.warm_up(optioned, on_gpu(full_size_model, sizes=sizes))
    seconds = time.perf_counter() - started
    one, again = (render(optioned, width=512, height=512, num_inference_steps=STEPS) for _ in range(2))
    plain = render(warm, width=512, height=512, num_inference_steps=STEPS)
    difference = mean_difference(one.images[0].rgb, plain.images[0].rgb)
    tell(
        f"{option}: warm-up {seconds:.1f} s, {STEPS / again.phases.denoise:.1f} steps/s "
        f"(plain {STEPS / plain.phases.denoise:.1f}), mean difference {difference:.3f}"
    )
    assert one.images == again.images
    assert difference < 3


def test_batch_and_alone(warm: Pipeline) -> None:
    """Four pictures of a batch nearly equal those rendered alone; the number of identical ones is printed."""
    batch = render(warm, width=512, height=512, num_images=4, num_inference_steps=STEPS)
    alone = [render(warm, width=512, height=512, seed=7 + index, num_inference_steps=STEPS) for index in range(4)]
    pairs = [(one.rgb, other.images[0].rgb) for one, other in zip(batch.images, alone, strict=True)]
    same = sum(one == other for one, other in pairs)
    worst = max(mean_difference(one, other) for one, other in pairs)
    seconds = sum(one.inference_ms for one in alone) / 1000
    tell(
        f"batch of 4: {same} identical to alone, mean difference at most {worst:.3f}, "
        f"{batch.inference_ms / 1000:.2f} s against {seconds:.2f} s"
    )
    assert batch.batch_size == 4
    assert worst < 3
