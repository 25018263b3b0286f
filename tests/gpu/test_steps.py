"""Progress and cancels follow the device, not the queue of kernels."""

import threading
import time
from statistics import median
from typing import Any

import pytest

from gpu_consumer import protocol
from gpu_consumer.render.pipeline import Pipeline
from gpu_consumer.render.progress import Progressed
from tests.gpu.conftest import tell
from tests.support.models import job_input
from tests.support.rendering import Watcher, render

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(300)]
LONG: dict[str, Any] = {"width": 1024, "height": 1024, "num_inference_steps": 30}


class Clocked(Watcher):
    """A recorder of the time of each step's report."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    def __call__(self, progressed: Progressed) -> None:
        if isinstance(progressed, protocol.Step):
            self.times.append(time.perf_counter())
        super().__call__(progressed)

    @property
    def step_seconds(self) -> float:
        return median(later - earlier for earlier, later in zip(self.times, self.times[1:], strict=False))


def test_steps_are_spread_over_the_render(warm: Pipeline) -> None:
    """Steps are reported as the device completes them: evenly, over nearly all of the denoising."""
    watcher = Clocked()
    rendered = render(warm, watcher, **LONG)
    spread = watcher.times[-1] - watcher.times[0]
    assert watcher.steps == [(step, 30) for step in range(1, 31)]
    assert spread > 0.8 * rendered.phases.denoise
    gaps = [later - earlier for earlier, later in zip(watcher.times, watcher.times[1:], strict=False)]
    assert max(gaps) < 5 * median(gaps)


def test_previews_cost_nothing(warm: Pipeline) -> None:
    """Previews after every step slow the render by less than a tenth, and do not change the picture."""
    plain = [render(warm, **LONG) for _ in range(3)]
    watcher = Watcher()
    shown = [render(warm, watcher, preview_every=1, **LONG) for _ in range(3)]
    assert len(watcher.previews) == 3 * 29
    assert shown[0].images == plain[0].images
    without, having = (median(one.phases.denoise for one in renders) for renders in (plain, shown))
    tell(f"previews: {1000 * (having - without) / 29:.2f} ms each")
    assert having < 1.1 * without


def test_cancel_within_one_step(warm: Pipeline) -> None:
    """An abort at any moment ends the render within two steps of the device."""
    measured = Clocked()
    render(warm, measured, **LONG)
    latencies = [_cancel(warm, after=measured.step_seconds * steps) for steps in (3.1, 7.5, 12.9)]
    told = ", ".join(f"{1000 * latency:.1f}" for latency in latencies)
    tell(f"cancel after {told} ms, a step takes {1000 * measured.step_seconds:.1f} ms")
    assert max(latencies) < 2 * measured.step_seconds + 0.02


def _cancel(pipeline: Pipeline, after: float) -> float:
    """Return the seconds from the abort to the outcome."""
    watcher, aborted_at = Watcher(), []

    def abort() -> None:
        aborted_at.append(time.perf_counter())
        watcher.abort.set()

    timer = threading.Timer(after, abort)
    timer.start()
    outcome = pipeline.render(protocol.RenderRequest(job_input(**LONG)), watcher, watcher.abort)
    answered = time.perf_counter()
    assert isinstance(outcome, protocol.Aborted)
    return answered - aborted_at[0]
