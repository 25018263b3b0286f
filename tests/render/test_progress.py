from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from gpu_consumer.protocol import Preview
from gpu_consumer.render.device import StepFence
from gpu_consumer.render.progress import Progress, RenderAborted
from tests.support.rendering import Watcher


class LaggingFence:
    """A fake of a GPU's fence: a step is completed when the next one is enqueued."""

    def __init__(self) -> None:
        self.enqueued = 0

    def pass_step(self) -> int:
        self.enqueued += 1
        return self.enqueued - 1

    def drain(self) -> int:
        return self.enqueued


class AllSteps:
    """A fake of previews, one for every step."""

    def __init__(self) -> None:
        self.begun: list[int] = []

    def take(self, step: int, latents: torch.Tensor) -> None:
        self.begun.append(step)

    def after(self, step: int) -> Preview | None:
        return Preview(step, 1, 1, b"") if step in self.begun else None


MODEL: Any = SimpleNamespace(num_timesteps=3)


def make_steps(progress: Progress, count: int) -> None:
    for index in range(count):
        progress.on_step_end(MODEL, index, 0, {"latents": torch.zeros(1)})


def test_steps_of_a_device_that_lags() -> None:
    """A step is reported when the device has completed it, not when it is enqueued."""
    watcher = Watcher()
    progress = Progress(watcher, Event(), LaggingFence())
    make_steps(progress, 3)
    assert watcher.steps == [(1, 3), (2, 3)]
    progress.end_batch()
    assert watcher.steps == [(1, 3), (2, 3), (3, 3)]


def test_abort_on_a_device_that_lags() -> None:
    """An abort stops the render with one step enqueued and reports the last completed step."""
    watcher, fence = Watcher(abort_at=2), LaggingFence()
    with pytest.raises(RenderAborted) as aborted:
        make_steps(Progress(watcher, watcher.abort, fence), 9)
    assert (aborted.value.step, fence.enqueued) == (2, 3)


def test_previews_of_a_device_that_lags() -> None:
    """A preview is reported after its step is completed, for the first batch only."""
    told: list[Any] = []
    progress = Progress(told.append, Event(), LaggingFence(), AllSteps())
    progress.begin_batch(2)
    make_steps(progress, 3)
    progress.end_batch()
    progress.begin_batch(1)
    make_steps(progress, 3)
    progress.end_batch()
    names = [f"{type(one).__name__} {one.step}" for one in told]
    assert names == ["Step 1", "Preview 1", "Step 2", "Preview 2", "Step 3", "Step 4", "Step 5", "Step 6"]
    assert {one.steps for one in told if not isinstance(one, Preview)} == {6}


def test_fence_of_the_cpu() -> None:
    """On the CPU, a step is completed when its call returns."""
    fence = StepFence("cpu")
    assert [fence.pass_step(), fence.pass_step(), fence.drain()] == [1, 2, 2]
