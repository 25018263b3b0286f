from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import torch

from gpu_consumer import protocol
from gpu_consumer.protocol import Size
from gpu_consumer.render import engines, warmup
from gpu_consumer.render.graphs import Recording
from gpu_consumer.render.pipeline import Pipeline
from gpu_consumer.render.progress import Report
from gpu_consumer.startup import ModelRefusedError, RenderProcessFailedError
from tests.support.graphs import FailingBackend
from tests.support.models import load_of
from tests.support.rendering import open_pipeline, weights_gone_bad


def test_every_size_is_rendered_and_told(pipeline: Pipeline, capsys: pytest.CaptureFixture[str]) -> None:
    """Each size is rendered and decoded once, with a line in the log."""
    warmup.warm_up(pipeline, load_of("/models/tiny", sizes=(Size(64, 64), Size(72, 64))))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" took ")[0] for line in lines] == ["warm-up of 64x64", "warm-up of 72x64"]


def test_previews_are_ready(tiny_model: Path) -> None:
    """The preview map is fitted in the warm-up, so that no job waits for it."""
    fresh = open_pipeline(tiny_model)
    assert "preview_map" not in vars(fresh)
    warmup.warm_up(fresh, load_of(tiny_model))
    assert "preview_map" in vars(fresh)


def test_failure_is_a_refusal(pipeline: Pipeline) -> None:
    """A model whose warm-up fails is refused with its folder, the size and the reason."""
    with weights_gone_bad(pipeline), pytest.raises(ModelRefusedError) as refusal:
        warmup.warm_up(pipeline, load_of("/models/bad"))
    assert refusal.value.message == (
        "The model in /models/bad failed its warm-up render of 64x64: The model produced numbers that are not finite."
    )


def test_a_warm_up_without_memory_refuses_no_model(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory may be another process's, such as that of a worker which ends."""

    def fail(*arguments: Any, **named: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(pipeline._model.vae, "decode", fail)
    with pytest.raises(RenderProcessFailedError, match=r"warm-up render of 64x64: .* did not fit") as failed:
        warmup.warm_up(pipeline, load_of("/models/tiny"))
    assert not failed.value.exit_code.permanent


@pytest.mark.parametrize("scale", [0.0, 7.5])
def test_warm_up_has_the_models_default_guidance(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, scale: float
) -> None:
    """The warm-up renders with the model's default guidance scale."""
    asked: list[protocol.RenderRequest] = []
    render = pipeline.render

    def noting(request: protocol.RenderRequest, report: Report, abort: Event) -> protocol.Outcome:
        asked.append(request)
        return render(request, report, abort)

    monkeypatch.setattr(pipeline, "render", noting)
    warmup.warm_up(pipeline, load_of("/models/tiny", guidance_scale=scale))
    assert [request.input.guidance_scale for request in asked] == [scale]


def test_after_a_failed_capture_the_size_is_rendered_again(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failed capture the size is rendered again, so that a lost device is detected."""

    class Losing(FailingBackend):
        def record(self, compute: Callable[[], Any]) -> Recording:
            opened._model.vae.decoder.conv_out.bias.data.fill_(float("nan"))
            raise RuntimeError("CUDA error: unspecified launch failure")

    monkeypatch.setattr(engines, "CudaBackend", Losing)
    opened = open_pipeline(tiny_model, cuda_graphs=True)
    with pytest.raises(ModelRefusedError, match="failed its warm-up render of 64x64"):
        warmup.warm_up(opened, load_of(tiny_model, cuda_graphs=True))
