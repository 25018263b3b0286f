"""Graphs of a network's forward pass. tests/gpu/test_graphs.py runs the same suite with CUDA graphs."""

import gc

import pytest
import torch

from gpu_consumer.render.graphs import (
    Backend,
    CudaBackend,
    Graphed,
    GraphError,
    Recording,
    timestep_to_float32,
)
from tests.support.fake_cuda import FakeCuda
from tests.support.graphs import FailingBackend, ForgetfulBackend, GraphedSuite, Network, PlainBackend, call


class TestPlainBackend(GraphedSuite):
    @pytest.fixture
    def device(self) -> str:
        return "cpu"

    @pytest.fixture
    def backend(self) -> Backend:
        return PlainBackend()


def learned(backend: Backend) -> tuple[Network, Graphed]:
    """Return a network with a call to record."""
    network = Network()
    graphed = Graphed(network, backend, timestep_to_float32)
    graphed.enable(True)
    graphed.learning = True
    call(network, "cpu")
    graphed.learning = False
    return network, graphed


def test_what_can_not_be_captured_is_computed_eagerly() -> None:
    """A failed capture is raised once, and the network then computes eagerly."""
    network, graphed = learned(FailingBackend())
    with pytest.raises(RuntimeError, match="operation not permitted"):
        graphed.record()
    calls = network.calls
    call(network, "cpu")
    assert network.calls == calls + 1
    graphed.record()  # nothing is left to record


def test_a_graph_that_computes_other_numbers_is_refused() -> None:
    """A graph is compared with the network on other inputs than those of its capture, to detect constants."""
    network, graphed = learned(ForgetfulBackend())
    with pytest.raises(GraphError, match="different outputs"):
        graphed.record()
    calls = network.calls
    call(network, "cpu")
    assert network.calls == calls + 1


def test_buffers_outlive_the_mode_that_they_are_filled_in() -> None:
    """Calls are recorded and replayed inside and outside of inference mode."""
    network = Network()
    graphed = Graphed(network, PlainBackend(), timestep_to_float32)
    graphed.enable(True)
    graphed.learning = True
    with torch.inference_mode():
        first = call(network, "cpu")
    graphed.record()
    with torch.inference_mode():
        assert torch.equal(call(network, "cpu"), first)
    assert torch.equal(call(network, "cpu"), first)


class Blocks(torch.nn.Module):
    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        return latent.sin()


def test_a_single_tensor_is_an_output_too() -> None:
    """A network's output can be a single tensor, such as a decoder's."""
    recordings: list[Recording] = []

    class Noting(PlainBackend):
        def record(self, compute: object) -> Recording:
            recordings.append(super().record(compute))  # type: ignore[arg-type]
            return recordings[-1]

    decoder = Blocks()
    graphed = Graphed(decoder, Noting())
    graphed.enable(True)
    graphed.learning = True
    latent = torch.randn(1, 4)
    decoder(latent)
    graphed.record()
    decoded = decoder(latent)
    assert torch.equal(decoded, latent.sin())
    assert decoded.data_ptr() != recordings[0].output.data_ptr()


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    fake = FakeCuda()
    fake.install(monkeypatch)
    return fake


def test_captures_share_a_stream_and_a_pool(cuda: FakeCuda) -> None:
    """All graphs share one memory pool, and each call is computed once before its capture."""
    backend, computed = CudaBackend(), []

    def compute() -> torch.Tensor:
        computed.append(cuda.current)
        return torch.ones(1)

    for number in range(3):
        assert torch.equal(backend.record(compute).output, torch.ones(1))
        assert len(computed) == 2 * (number + 1)
    assert len(set(cuda.captured_into)) == 1
    assert set(computed) == {cuda.captured_into[0][0]}
    assert cuda.current == "default"


def test_a_failed_capture_leaves_stream_and_allocator_as_they_were(cuda: FakeCuda) -> None:
    """A failed capture raises its error, and the next capture uses a new stream and pool."""
    backend, calls = CudaBackend(), []

    def waiting() -> torch.Tensor:
        calls.append(cuda.current)
        if len(calls) == 2:
            raise RuntimeError("operation not permitted when stream is capturing")
        return torch.ones(1)

    with pytest.raises(RuntimeError, match="not permitted"):
        backend.record(waiting)
    assert (cuda.current, cuda.open_pools) == ("default", set())
    gc.collect()
    assert [graph() is None for graph in cuda.pointed_at] == [False]
    backend.record(lambda: torch.ones(1))
    ((stream, _),) = cuda.captured_into
    assert stream not in calls


def test_a_failure_before_the_capture_is_passed_on(cuda: FakeCuda) -> None:
    """If the capture never began, ending it in the allocator raises, and the original error is still reported."""

    def failing() -> torch.Tensor:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        CudaBackend().record(failing)
    assert cuda.current == "default"
