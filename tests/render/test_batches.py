"""Jobs with several pictures, denoised in batches where the device and the memory allow it."""

from typing import Any

import pytest
import torch

from darkroom_contracts.errors import JobErrorCode
from gpu_consumer.protocol import Size
from gpu_consumer.render.batches import Batches
from gpu_consumer.render.pipeline import Pipeline
from tests.support.rendering import Watcher, failure, render

SIZE = Size(64, 64)


class Room:
    """A wrapper of the UNet that runs out of memory above `pictures` pictures, each counted twice for guidance."""

    def __init__(self, pipeline: Pipeline, pictures: int) -> None:
        self._forward = pipeline._model.unet.forward
        self._pictures = pictures
        self.batches: list[int] = []

    def __call__(self, sample: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        batch = len(sample) // 2
        if self.batches[-1:] != [batch]:
            self.batches.append(batch)
        if batch > self._pictures:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return self._forward(sample, *args, **kwargs)


@pytest.fixture
def together(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """Return the pipeline with batches as on a GPU and no known limits."""
    monkeypatch.setattr(pipeline, "_batches", Batches("cuda", compiled=False))
    return pipeline


def give_room(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, pictures: int) -> Room:
    room = Room(pipeline, pictures)
    monkeypatch.setattr(pipeline._model.unet, "forward", room)
    return room


@pytest.mark.parametrize("scheduler", ["ddim", "euler_a", "lcm"])
def test_same_bytes_as_alone_on_the_cpu(pipeline: Pipeline, scheduler: str) -> None:
    """On the CPU, each of several pictures has the bytes of the same picture rendered alone."""
    several = render(pipeline, seed=5, num_images=3, scheduler=scheduler)
    alone = [render(pipeline, seed=seed, scheduler=scheduler).images[0] for seed in (5, 6, 7)]
    assert list(several.images) == alone
    assert several.batch_size == 1


@pytest.mark.parametrize("scheduler", ["ddim", "euler_a", "lcm"])
def test_picture_of_a_batch_resembles_itself_alone(together: Pipeline, scheduler: str) -> None:
    """In a batch, each picture follows its own seed, up to rounding."""
    several = render(together, seed=5, num_images=3, scheduler=scheduler)
    alone = render(together, seed=6, scheduler=scheduler).images[0]
    differences = [abs(one - other) for one, other in zip(several.images[1].rgb, alone.rgb, strict=True)]
    assert several.batch_size == 3
    assert max(differences) <= 4


def test_steps_count_over_all_batches(pipeline: Pipeline) -> None:
    """Progress counts once from the first step of the first picture to the last step of the last."""
    watcher = Watcher()
    assert render(pipeline, watcher, num_images=3).steps == 9
    assert watcher.steps == [(step, 9) for step in range(1, 10)]


def test_batch_that_does_not_fit_is_halved(together: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that runs out of memory is halved until it fits, and all pictures are rendered."""
    room = give_room(together, monkeypatch, pictures=2)
    rendered = render(together, num_images=5)
    assert room.batches == [5, 2, 1]
    assert rendered.batch_size == 2
    assert [image.seed for image in rendered.images] == [7, 8, 9, 10, 11]


def test_what_fitted_is_remembered(together: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next job of the size starts with the batch size that fitted, and another size with all of its pictures."""
    room = give_room(together, monkeypatch, pictures=2)
    render(together, num_images=4)
    room.batches.clear()
    render(together, num_images=4)
    assert room.batches == [2]
    render(together, num_images=3, width=72)
    assert room.batches == [2, 3, 1]


def test_progress_never_goes_back(together: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that runs out of memory adds to the total of steps, and no step is reported twice."""
    forward, calls = together._model.unet.forward, []

    def full_at_the_third(sample: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        calls.append(len(sample) // 2)
        if len(calls) == 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(sample, *args, **kwargs)

    monkeypatch.setattr(together._model.unet, "forward", full_at_the_third)
    watcher = Watcher()
    assert render(together, watcher, num_images=2).steps == 8
    assert watcher.steps == [(1, 3), (2, 3), *((step, 8) for step in range(3, 9))]


def test_one_picture_that_does_not_fit(together: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a single picture does not fit, the failure names its size, the fallbacks tried and the memory."""
    give_room(together, monkeypatch, pictures=0)
    failed = failure(together, num_images=4)
    assert (failed.code, failed.kind) == (JobErrorCode.OUT_OF_MEMORY, "transient")
    assert failed.message.startswith("64x64, 4 pictures, one at a time, did not fit in the ")
    assert failed.message.endswith(" GiB of this machine.")


def test_frugal_renders_one_at_a_time(together: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frugal render denoises one picture at a time and decodes in tiles from the start."""
    room = give_room(together, monkeypatch, pictures=9)
    rendered = render(together, num_images=3, frugal=True)
    assert room.batches == [1]
    assert (rendered.batch_size, rendered.tiled) == (1, True)


def test_batches_of_compiled_code() -> None:
    """With compiled code, which is valid for one shape, the batch size is 1."""
    assert Batches("cuda", compiled=True).choose(SIZE, 4) == 1
    assert Batches("cuda", compiled=False).choose(SIZE, 4) == 4
