"""CUDA graphs on a GPU: the same bytes as without graphs, and eager renders when none matches."""

from pathlib import Path
from statistics import median
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel

from darkroom_contracts.errors import JobErrorCode
from gpu_consumer import protocol
from gpu_consumer.render import memory, schedulers, warmup
from gpu_consumer.render.graphs import Backend, CudaBackend, Graphed, timestep_to_float32
from gpu_consumer.render.pipeline import Pipeline
from tests.gpu.conftest import SIZES, Crowd, on_gpu, tell
from tests.support.graphs import CountingBackend, GraphedSuite, Network, PlainBackend, call
from tests.support.rendering import Watcher, attempt, failure, open_pipeline, render, weights_gone_bad

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(120)]
SMALL: dict[str, Any] = {"width": 512, "height": 512, "num_inference_steps": 4}
STEPS = 20


class TestCudaBackend(GraphedSuite):
    @pytest.fixture
    def device(self, gpu: str) -> str:
        return "cuda"

    @pytest.fixture
    def backend(self, device: str) -> Backend:
        return CudaBackend()


class TestPlainBackendOnCuda(GraphedSuite):
    @pytest.fixture
    def device(self, gpu: str) -> str:
        return "cuda"

    @pytest.fixture
    def backend(self) -> Backend:
        return PlainBackend()


def test_everything_is_captured(graphed: Pipeline) -> None:
    """The UNet and the decoder are captured for all three sizes."""
    assert graphed.engines.failed_captures == 0
    assert [len(each._graphs) for each in graphed.engines._graphed.values()] == [len(SIZES)] * 2


@pytest.mark.parametrize("scheduler", schedulers.NAMES)
def test_graphs_give_the_same_bytes_as_eager(warm: Pipeline, graphed: Pipeline, scheduler: str) -> None:
    """Graphs give the same bytes with every scheduler, twice."""
    wanted = render(warm, scheduler=scheduler, **SMALL).images
    assert render(graphed, scheduler=scheduler, **SMALL).images == wanted
    assert render(graphed, scheduler=scheduler, **SMALL).images == wanted


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size.width}x{size.height}")
def test_steps_per_second(warm: Pipeline, graphed: Pipeline, size: protocol.Size) -> None:
    """Graphs of each size give the same bytes; the speed-up is printed."""
    job: dict[str, Any] = {"width": size.width, "height": size.height, "num_inference_steps": STEPS}
    plain, fast = ([render(pipeline, **job) for _ in range(3)] for pipeline in (warm, graphed))
    assert {each.images for each in fast} == {plain[0].images}
    paces = [STEPS / median(each.phases.denoise for each in renders) for renders in (plain, fast)]
    decodes = [1000 * median(each.phases.decode for each in renders) for renders in (plain, fast)]
    tell(
        f"{paces[0]:.1f} -> {paces[1]:.1f} steps/s (x{paces[1] / paces[0]:.2f}), "
        f"decode {decodes[0]:.1f} -> {decodes[1]:.1f} ms"
    )


@pytest.mark.parametrize(
    "change", [{"num_images": 2}, {"guidance_scale": 1.0}, {"width": 576}, {"frugal": True}], ids=str
)
def test_what_fits_no_graph_gives_the_same_bytes(warm: Pipeline, graphed: Pipeline, change: dict[str, Any]) -> None:
    """Another batch, guidance or size, and a decode in tiles, are rendered eagerly."""
    assert render(graphed, **(SMALL | change)).images == render(warm, **(SMALL | change)).images


def test_same_bytes_after_an_abort_a_failure_and_a_lack_of_memory(
    warm: Pipeline, graphed: Pipeline, crowd: Crowd
) -> None:
    """Earlier failures do not change the output of graphs."""
    wanted = render(warm, **SMALL).images
    assert isinstance(attempt(graphed, Watcher(abort_at=2), **SMALL), protocol.Aborted)
    assert render(graphed, **SMALL).images == wanted
    with weights_gone_bad(graphed):
        assert failure(graphed, **SMALL).code is JobErrorCode.NON_FINITE_OUTPUT
    assert render(graphed, **SMALL).images == wanted
    memory.release()
    crowd.leave(64 << 20)
    failed = failure(graphed, num_images=2, frugal=True, width=1536, height=1536, num_inference_steps=2)
    assert failed.code is JobErrorCode.OUT_OF_MEMORY
    crowd.go()
    assert render(graphed, **SMALL).images == wanted


def test_a_failed_capture_serves_eagerly(
    full_size_model: Path, warm: Pipeline, crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A UNet that synchronizes can't be captured: the failure is counted, and the decoder is captured all the same."""
    plain = UNet2DConditionModel.forward

    def waiting(self: Any, sample: torch.Tensor, *arguments: Any, **named: Any) -> Any:
        sample.sum().item()
        return plain(self, sample, *arguments, **named)

    monkeypatch.setattr(UNet2DConditionModel, "forward", waiting)
    changes: dict[str, Any] = {"sizes": SIZES[:1], "cuda_graphs": True}
    failing = open_pipeline(full_size_model, device="cuda", dtype="float16", **changes)
    warmup.warm_up(failing, on_gpu(full_size_model, **changes))
    assert failing.engines.failed_captures == 1
    assert torch.cuda.current_stream() == torch.cuda.default_stream()
    wanted = render(warm, **SMALL).images
    assert render(failing, **SMALL).images == wanted
    crowd.leave(3 << 30)
    with torch.cuda.stream(torch.cuda.Stream()):
        _take(2 << 30)  # stays in the cache, for that stream
    _take(5 << 29)  # fits once the cache is given back, which no capture forbids that is still open
    crowd.go()
    assert render(failing, **SMALL).images == wanted


def test_a_graph_of_a_large_batch_leaves_no_capture_open(gpu: str) -> None:
    """Captures, failures and captures again in one process: each graph computes what its network computes."""
    backend = CountingBackend(CudaBackend())
    for rows in (2, 4, 8):
        network = Network().to("cuda")
        graphed = Graphed(network, backend, timestep_to_float32)
        graphed.enable(True)
        graphed.learning = True
        wanted = call(network, "cuda", rows=rows)
        graphed.record()
        assert torch.equal(call(network, "cuda", rows=rows), wanted)
        with pytest.raises(RuntimeError, match="captur"):
            backend.record(lambda: torch.ones(8, device="cuda").sum().item())
    assert backend.recorded == 3


def _take(size: int) -> None:
    """Allocate `size` bytes and free them."""
    torch.empty(size, dtype=torch.uint8, device="cuda")
