"""Determinism: the same seed, model and parameters give the same bytes, whatever the process did before."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from darkroom_contracts.errors import JobErrorCode
from gpu_consumer import protocol
from gpu_consumer.render import schedulers
from gpu_consumer.render.pipeline import Pipeline
from tests.support.rendering import Watcher, attempt, failure, render, weights_gone_bad


@pytest.fixture(scope="module", params=schedulers.NAMES)
def scheduler(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def expected(pipeline: Pipeline, scheduler: str) -> bytes:
    """Return the scheduler's reference picture."""
    return _picture(pipeline, scheduler)


def _picture(pipeline: Pipeline, scheduler: str) -> bytes:
    return render(pipeline, scheduler=scheduler, num_inference_steps=6).images[0].rgb


class FullAfter:
    """A wrapper that computes `calls` times, then raises out of memory."""

    def __init__(self, calls: int, compute: Callable[..., Any]) -> None:
        self._left = calls
        self._compute = compute

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self._left:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        self._left -= 1
        return self._compute(*args, **kwargs)


def test_again(pipeline: Pipeline, scheduler: str, expected: bytes) -> None:
    """Rendering again gives the same bytes, with every scheduler."""
    assert _picture(pipeline, scheduler) == expected


def test_with_previews(pipeline: Pipeline, scheduler: str, expected: bytes) -> None:
    """Previews do not change the picture."""
    shown = render(pipeline, scheduler=scheduler, num_inference_steps=6, preview_every=2)
    assert shown.images[0].rgb == expected


def test_after_a_cancel(pipeline: Pipeline, scheduler: str, expected: bytes) -> None:
    """An aborted render does not change the next one."""
    stopped = attempt(pipeline, Watcher(abort_at=3), scheduler=scheduler, num_inference_steps=6, seed=99)
    assert stopped == protocol.Aborted(3)
    assert _picture(pipeline, scheduler) == expected


def test_after_a_failed_job(pipeline: Pipeline, scheduler: str, expected: bytes) -> None:
    """A render that produced NaN does not change the next one."""
    with weights_gone_bad(pipeline):
        assert failure(pipeline, scheduler=scheduler, seed=99).code is JobErrorCode.NON_FINITE_OUTPUT
    assert _picture(pipeline, scheduler) == expected


def test_after_a_lack_of_memory(
    pipeline: Pipeline, scheduler: str, expected: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A render that ran out of memory within a step does not change the next one."""
    with monkeypatch.context() as patched:
        patched.setattr(pipeline._model.unet.conv_out, "forward", FullAfter(3, pipeline._model.unet.conv_out.forward))
        assert failure(pipeline, scheduler=scheduler, seed=99, num_inference_steps=6).code is JobErrorCode.OUT_OF_MEMORY
    assert _picture(pipeline, scheduler) == expected


def test_after_all_other_schedulers(pipeline: Pipeline, scheduler: str, expected: bytes) -> None:
    """The settings of one scheduler do not leak into the next job with another."""
    others = {_picture(pipeline, other) for other in schedulers.NAMES if other != scheduler}
    assert len(others) == len(schedulers.NAMES) - 1
    assert expected not in others
    assert _picture(pipeline, scheduler) == expected
