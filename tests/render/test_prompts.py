"""The cache of prompt embeddings."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from gpu_consumer.render.batches import Batches
from gpu_consumer.render.pipeline import Pipeline
from gpu_consumer.render.prompts import PromptCache
from tests.support.rendering import open_pipeline, render


@pytest.fixture(scope="module", params=["tiny_model", "tiny_sd2_model", "tiny_sdxl_model"])
def family(request: pytest.FixtureRequest) -> Pipeline:
    """Return a pipeline of each family."""
    folder: Path = request.getfixturevalue(request.param)
    kind = "StableDiffusionXLPipeline" if request.param == "tiny_sdxl_model" else "StableDiffusionPipeline"
    return open_pipeline(folder, pipeline=kind)


@pytest.fixture
def fresh(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """Return the pipeline with an empty cache."""
    monkeypatch.setattr(pipeline, "_prompts", PromptCache(pipeline._model))
    return pipeline


@contextmanager
def counted(encoder: torch.nn.Module) -> Iterator[Callable[[], int]]:
    """Count the encoder's runs within the context."""
    calls: list[Any] = []
    handle = encoder.register_forward_hook(lambda *call: calls.append(call))
    yield lambda: len(calls)
    handle.remove()


def test_pictures_rendered_alone_share_their_prompts(fresh: Pipeline) -> None:
    """Four pictures, each in a batch of its own, encode prompt and negative prompt once each."""
    with counted(fresh._model.text_encoder) as calls:
        assert render(fresh, num_images=4, negative_prompt="grey").batch_size == 1
        assert calls() == 2
        render(fresh, negative_prompt="grey", seed=99, scheduler="euler", guidance_scale=3.0)
        assert calls() == 2


def test_other_prompts_are_encoded(fresh: Pipeline) -> None:
    """Another prompt or negative prompt is encoded; without guidance the negative prompt is not."""
    with counted(fresh._model.text_encoder) as calls:
        counts = []
        for change in ({}, {"prompt": "a square"}, {"negative_prompt": "grey"}, {"guidance_scale": 1.0}):
            render(fresh, num_inference_steps=1, **change)
            counts.append(calls())
        assert counts == [2, 4, 6, 7]
        render(fresh, num_inference_steps=1, guidance_scale=1.0, negative_prompt="blur")
        assert calls() == 7


def test_the_oldest_prompts_are_forgotten(fresh: Pipeline) -> None:
    """The cache is bounded and keeps the most recently used prompts."""
    cache = PromptCache(fresh._model, entries=2)
    with counted(fresh._model.text_encoder) as calls:
        for prompt in ("a", "b", "a", "c"):
            cache.embed(prompt, "", 1.0)
        assert calls() == 3
        cache.embed("a", "", 1.0)
        assert calls() == 3
        cache.embed("b", "", 1.0)
        assert calls() == 4


@pytest.mark.parametrize("guidance", [7.5, 1.0])
@pytest.mark.parametrize("pictures", [1, 3])
def test_the_bytes_are_those_without_the_cache(
    family: Pipeline, monkeypatch: pytest.MonkeyPatch, guidance: float, pictures: int
) -> None:
    """Cached embeddings give the same bytes as prompts passed to the pipeline, alone and in a batch."""
    monkeypatch.setattr(family, "_batches", Batches("cuda", compiled=False))
    wanted: dict[str, Any] = {"negative_prompt": "grey", "guidance_scale": guidance, "num_images": pictures}
    wanted["scheduler"] = "euler"
    monkeypatch.setattr(family, "_prompts", PromptCache(family._model))
    first, again = (render(family, **wanted) for _ in range(2))
    monkeypatch.setattr(family, "_prompts", Uncached())
    plain = render(family, **wanted)
    assert first.batch_size == plain.batch_size == pictures
    assert first.images == again.images == plain.images


class Uncached:
    """A fake of the cache that passes prompts to the pipeline."""

    def embed(self, prompt: str, negative_prompt: str, guidance_scale: float) -> dict[str, str]:
        return {"prompt": prompt, "negative_prompt": negative_prompt}
