"""Out of memory, NaN and a lost context on a real GPU, and the jobs after them."""

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch

from darkroom_contracts.errors import JobErrorCode
from gpu_consumer import protocol
from gpu_consumer.render import memory, schedulers
from gpu_consumer.render.batches import Batches
from gpu_consumer.render.decoder import Decoder
from gpu_consumer.render.pipeline import Pipeline
from tests.gpu.conftest import Crowd
from tests.support.rendering import Watcher, attempt, failure, open_pipeline, render, weights_gone_bad

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(600)]
LARGE: dict[str, Any] = {"width": 1024, "height": 1024, "num_inference_steps": 2}
SMALL: dict[str, Any] = {"width": 512, "height": 512, "num_inference_steps": 4}
SLACK_BYTES = 16 << 20
MANY = 16


@pytest.mark.parametrize("scheduler", schedulers.NAMES)
def test_same_bytes_whatever_came_before(warm: Pipeline, scheduler: str) -> None:
    """After a cancel and after a failed job the same input gives the same bytes, with every scheduler."""
    before = render(warm, scheduler=scheduler, **SMALL)
    assert isinstance(attempt(warm, Watcher(abort_at=2), scheduler=scheduler, **SMALL), protocol.Aborted)
    assert render(warm, scheduler=scheduler, **SMALL).images == before.images
    with weights_gone_bad(warm):
        assert failure(warm, scheduler=scheduler, **SMALL).code is JobErrorCode.NON_FINITE_OUTPUT
    assert render(warm, scheduler=scheduler, **SMALL).images == before.images


def test_decode_that_does_not_fit_goes_on_in_tiles(
    warm: Pipeline, crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With memory for tiles but not for the whole picture, it is decoded in tiles, and so are later ones."""
    monkeypatch.setattr(warm, "_decoder", Decoder(warm._model, warm._decoder._engines))
    before = render(warm, **LARGE)
    tiled = render(warm, frugal=True, **LARGE)
    assert tiled.peak_memory_bytes < before.peak_memory_bytes
    crowd.leave((tiled.peak_memory_bytes + before.peak_memory_bytes) // 2 - memory.held("cuda"))
    crowded = render(warm, **LARGE)
    assert crowded.tiled
    assert crowded.images == tiled.images
    crowd.go()
    assert render(warm, **LARGE).images == tiled.images


def test_batch_that_does_not_fit_is_halved(warm: Pipeline, crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    """With memory for some of the pictures, all are rendered in smaller batches."""
    monkeypatch.setattr(warm, "_batches", Batches("cuda", compiled=False))
    one, many = render(warm, **SMALL), render(warm, num_images=MANY, **SMALL)
    assert many.peak_memory_bytes > 1.2 * one.peak_memory_bytes
    crowd.leave((one.peak_memory_bytes + many.peak_memory_bytes) // 2 - memory.held("cuda"))
    crowded = render(warm, num_images=MANY, **SMALL)
    assert len(crowded.images) == MANY
    assert crowded.batch_size < MANY


def test_no_room_at_all(warm: Pipeline, crowd: Crowd, gpu: str) -> None:
    """A job that does not fit fails with its sizes and the GPU's name, and frees its memory for the next job."""
    before = render(warm, **LARGE)
    memory.release()
    crowd.leave(64 << 20)
    held = memory.held("cuda")
    failed = failure(warm, num_images=2, frugal=True, **LARGE)
    assert (failed.code, failed.kind) == (JobErrorCode.OUT_OF_MEMORY, "transient")
    assert failed.message.startswith("1024x1024, 2 pictures, one at a time")
    assert failed.message.endswith(f"GiB of {gpu}.")
    assert abs(memory.held("cuda") - held) < SLACK_BYTES
    crowd.go()
    assert render(warm, **LARGE).images == before.images


def test_memory_comes_back(warm: Pipeline) -> None:
    """After a cancel, a failure and a success, as much memory is in use as before."""
    render(warm, **LARGE)
    memory.release()
    held = memory.held("cuda")
    attempt(warm, Watcher(abort_at=1), **LARGE)
    with weights_gone_bad(warm):
        failure(warm, **LARGE)
    render(warm, **LARGE)
    memory.release()
    assert abs(memory.held("cuda") - held) < SLACK_BYTES


def test_xl_in_half_precision(gpu: str, tiny_sdxl_model: Path) -> None:
    """SDXL renders in float16 with its VAE in float32, and the VAE returns to float16."""
    xl = open_pipeline(tiny_sdxl_model, device="cuda", dtype="float16", pipeline="StableDiffusionXLPipeline")
    before = render(xl)
    assert xl._model.vae.dtype == torch.float16
    assert render(xl).images == before.images


def test_lost_context_is_fatal(full_size_model: Path) -> None:
    """An access out of bounds on the GPU loses the context, and the render fails as fatal without hanging."""
    script = f"""
        import os, torch
        from pathlib import Path
        from tests.support.rendering import attempt, open_pipeline, render

        pipeline = open_pipeline(Path({str(full_size_model)!r}), device="cuda", dtype="float16")
        render(pipeline, width=512, height=512)
        forward = pipeline._model.unet.forward

        def out_of_bounds(sample, *args, **named):
            index = torch.full((1,), 1 << 30, device="cuda")
            return forward(sample + sample.flatten()[index], *args, **named)

        pipeline._model.unet.forward = out_of_bounds
        for _ in range(2):
            outcome = attempt(pipeline, width=512, height=512)
            print(outcome.kind, outcome.code.value, flush=True)
        os._exit(0)
    """
    answer = subprocess.run(
        (sys.executable, "-c", textwrap.dedent(script)), capture_output=True, text=True, timeout=300, check=False
    )
    fatal = [line for line in answer.stdout.splitlines() if line.startswith(("fatal", "permanent", "transient"))]
    assert fatal == ["fatal render_process_lost"] * 2, answer.stderr[-2000:]
