from pathlib import Path

import pytest

from gpu_consumer.render import warmup
from gpu_consumer.render.pipeline import Pipeline
from gpu_consumer.render.protocol import Size
from gpu_consumer.startup import ModelRefusedError
from tests.support.models import load_of
from tests.support.rendering import open_pipeline, weights_gone_bad


def test_every_size_is_rendered_and_told(pipeline: Pipeline, capsys: pytest.CaptureFixture[str]) -> None:
    """Each size is rendered once, decode included, with a line for each in the log."""
    warmup.warm_up(pipeline, load_of("/models/tiny", sizes=(Size(64, 64), Size(72, 64))))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" after ")[0] for line in lines] == ["warm for 64x64", "warm for 72x64"]


def test_previews_are_ready(tiny_model: Path) -> None:
    """After the warm-up the map of previews is there, so that no job waits for it."""
    fresh = open_pipeline(tiny_model)
    assert "preview_map" not in vars(fresh)
    warmup.warm_up(fresh, load_of(tiny_model))
    assert "preview_map" in vars(fresh)


def test_failure_is_a_refusal(pipeline: Pipeline) -> None:
    """A model whose warm-up fails is refused with one sentence that names the folder, the size and the reason."""
    with weights_gone_bad(pipeline), pytest.raises(ModelRefusedError) as refusal:
        warmup.warm_up(pipeline, load_of("/models/bad"))
    assert refusal.value.message == (
        "The model in /models/bad failed its warm-up render of 64x64: The model produced numbers that are not finite."
    )
