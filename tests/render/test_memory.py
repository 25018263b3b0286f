from types import SimpleNamespace

import pytest
import torch

from gpu_consumer.render import memory
from gpu_consumer.render.pipeline import Pipeline
from tests.support.rendering import render

LARGE = 200 << 20


def test_held_on_the_cpu() -> None:
    """On the CPU, memory in use is the process's resident set."""
    before = memory.held("cpu")
    large = torch.ones(LARGE, dtype=torch.uint8)
    assert memory.held("cpu") - before > 0.9 * LARGE
    del large


def test_peak_begins_anew() -> None:
    """The peak counts from its reset, so that a large render does not affect the peak of later ones."""
    memory.reset_peak("cpu")
    low = memory.peak("cpu")
    torch.ones(LARGE, dtype=torch.uint8)
    assert memory.peak("cpu") - low > 0.9 * LARGE
    memory.reset_peak("cpu")
    if memory.peak("cpu") > low + LARGE // 2:
        pytest.skip("this kernel does not let a process reset its peak")
    assert memory.peak("cpu") >= memory.held("cpu") * 0.9


def test_render_tells_its_peak(pipeline: Pipeline) -> None:
    """A render reports its peak memory, and a larger picture has a higher peak."""
    small, large = (render(pipeline, width=side, height=side, num_inference_steps=1) for side in (64, 768))
    assert large.peak_memory_bytes > small.peak_memory_bytes > 0


@pytest.mark.parametrize(
    ("fraction", "left_on_the_gpu", "share"), [(1.0, 2 << 30, 0.3), (1.0, 1 << 30, 0.2), (0.8, 3 << 30, 0.25)]
)
def test_free_share_of_a_gpu(
    monkeypatch: pytest.MonkeyPatch, fraction: float, left_on_the_gpu: int, share: float
) -> None:
    """The free share counts the GPU's free memory within the process's limit, plus torch's unused cache."""
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
    """The free share is 1 when no GPU is in use."""
    assert memory.free_share() == 1.0


def test_total() -> None:
    """The total memory is more than a gibibyte, and the process uses a part of it."""
    assert memory.total("cpu") > memory.GIBIBYTE
    assert memory.held("cpu") < memory.total("cpu")
