"""Rendering on a pipeline in this process."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import msgspec

from gpu_consumer import protocol
from gpu_consumer.models import model_folder
from gpu_consumer.render import device
from gpu_consumer.render.pipeline import Pipeline
from gpu_consumer.render.progress import Progressed
from tests.support.models import job_input, load_of


class Watcher:
    """A collector of a render's reports that can set the abort at a step."""

    def __init__(self, abort_at: int | None = None) -> None:
        self.steps: list[tuple[int, int]] = []
        self.previews: list[protocol.Preview] = []
        self.pictures: list[protocol.Picture] = []
        self.abort = Event()
        self._abort_at = abort_at

    def __call__(self, progressed: Progressed) -> None:
        if isinstance(progressed, protocol.Preview):
            self.previews.append(progressed)
            return
        if isinstance(progressed, protocol.Picture):
            self.pictures.append(progressed)
            return
        self.steps.append((progressed.step, progressed.steps))
        if progressed.step == self._abort_at:
            self.abort.set()


class Made(protocol.Rendered, frozen=True, kw_only=True):
    """The outcome of a render, with the pictures reported before it."""

    pictures: tuple[protocol.Picture, ...]

    @property
    def images(self) -> tuple[protocol.RenderedImage, ...]:
        return tuple(picture.image for picture in self.pictures)


def open_pipeline(folder: Path, **changes: Any) -> Pipeline:
    """Load the folder's pipeline with `load_of(folder, **changes)`, without a warm-up."""
    load = load_of(folder, **changes)
    inspected = model_folder.inspect(
        folder,
        prefer_half=load.dtype == "float16",
        pipeline=load.pipeline,
        safety_checker=load.safety_checker,
    )
    return Pipeline.load(inspected, load, device.confirm(load.device))


def attempt(
    pipeline: Pipeline, watcher: Watcher | None = None, *, frugal: bool = False, **changes: Any
) -> protocol.Outcome:
    """Render and return any outcome."""
    watcher = watcher or Watcher()
    return pipeline.render(protocol.RenderRequest(job_input(**changes), frugal), watcher, watcher.abort)


def render(pipeline: Pipeline, watcher: Watcher | None = None, **changes: Any) -> Made:
    """Render and require a success."""
    watcher = watcher or Watcher()
    before = len(watcher.pictures)
    outcome = attempt(pipeline, watcher, **changes)
    assert isinstance(outcome, protocol.Rendered), outcome
    return Made(**msgspec.structs.asdict(outcome), pictures=tuple(watcher.pictures[before:]))


def failure(pipeline: Pipeline, **changes: Any) -> protocol.RenderFailed:
    """Render and require a failure."""
    outcome = attempt(pipeline, **changes)
    assert isinstance(outcome, protocol.RenderFailed), outcome
    return outcome


@contextmanager
def weights_gone_bad(pipeline: Pipeline) -> Iterator[None]:
    """Make the VAE produce NaN within the context."""
    bias = pipeline._model.vae.decoder.conv_out.bias
    original = bias.data.clone()
    bias.data.fill_(float("nan"))
    try:
        yield
    finally:
        bias.data.copy_(original)
