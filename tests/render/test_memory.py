from types import SimpleNamespace

import pytest
import torch

from gpu_consumer.render import memory
from gpu_consumer.render.pipeline import Pipeline
from tests.support.rendering import render

LARGE = 200 << 20


def test_held_on_the_cpu() -> None:
    """On the CPU the process's resident set is measured: what is allocated and touched shows."""
    before = memory.held("cpu")
    large = torch.ones(LARGE, dtype=torch.uint8)
    assert memory.held("cpu") - before > 0.9 * LARGE
    del large


def test_peak_begins_anew() -> None:
    """The peak counts from its reset on, so that one large render does not show in all that follow."""
    memory.reset_peak("cpu")
    low = memory.peak("cpu")
    torch.ones(LARGE, dtype=torch.uint8)
    assert memory.peak("cpu") - low > 0.9 * LARGE
    memory.reset_peak("cpu")
    if memory.peak("cpu") > low + LARGE // 2:
        pytest.skip("this kernel does not let a process reset its peak")
    assert memory.peak("cpu") >= memory.held("cpu") * 0.9


def test_render_tells_its_peak(pipeline: Pipeline) -> None:
    """A render tells how much memory it took at the highest, and a larger picture takes more."""
    small, large = (render(pipeline, width=side, height=side, num_inference_steps=1) for side in (64, 768))
    assert large.peak_memory_bytes > small.peak_memory_bytes > 0


@pytest.mark.parametrize(
    ("fraction", "left_on_the_gpu", "share"), [(1.0, 2 << 30, 0.3), (1.0, 1 << 30, 0.2), (0.8, 3 << 30, 0.25)]
)
def test_free_share_of_a_gpu(
    monkeypatch: pytest.MonkeyPatch, fraction: float, left_on_the_gpu: int, share: float
) -> None:
    """What this process can still take: what is left on the GPU, within its own limit, and what it has in reserve."""
    figures = {
        "is_initialized": True,
        "get_device_properties": SimpleNamespace(total_memory=10 << 30),
        "get_per_process_memory_fraction": fraction,
        "memory_reserved": 7 << 30,
        "memory_allocated": 6 << 30,
        "mem_get_info": (left_on_the_gpu, 10 << 30),
    }
    for name, figure in figures.items():
        monkeypatch.setattr(torch.cuda, name, lambda figure=figure: figure)
    assert memory.free_share() == pytest.approx(share)


def test_free_share_without_a_gpu() -> None:
    """Where no GPU is in use, its memory explains nothing."""
    assert memory.free_share() == 1.0


def test_total() -> None:
    """This machine's memory is more than a gibibyte, and this process holds but a part of it."""
    assert memory.total("cpu") > memory.GIBIBYTE
    assert memory.held("cpu") < memory.total("cpu")
