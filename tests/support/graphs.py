"""A fake of CUDA graphs for a CPU, and the suite that proves it equal to the real ones."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from gpu_consumer.render.graphs import Backend, Graphed, Recording, timestep_to_float32


class PlainBackend:
    """A backend whose replay computes again, from the buffers into the output."""

    def record(self, compute: Callable[[], Any]) -> Recording:
        output = compute()

        def replay() -> None:
            for old, new in zip(_flat(output), _flat(compute()), strict=True):
                old.copy_(new)

        return Recording(replay, output)


class CountingBackend:
    """A backend that counts the recordings and replays of another."""

    def __init__(self, backend: Backend) -> None:
        self.recorded = 0
        self.replayed = 0
        self._backend = backend

    def record(self, compute: Callable[[], Any]) -> Recording:
        recording = self._backend.record(compute)
        self.recorded += 1

        def replay() -> None:
            self.replayed += 1
            recording.replay()

        return Recording(replay, recording.output)


class FailingBackend:
    """A backend whose captures fail."""

    def record(self, compute: Callable[[], Any]) -> Recording:
        raise RuntimeError("operation not permitted\nwhen stream is capturing")


class ForgetfulBackend:
    """A backend whose replays return the output of the recording."""

    def record(self, compute: Callable[[], Any]) -> Recording:
        return Recording(lambda: None, compute())


class Network(torch.nn.Module):
    """A network with a UNet's arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = torch.nn.Linear(4, 4)
        self.calls = 0

    def forward(
        self,
        sample: torch.Tensor,
        time: torch.Tensor,
        hidden: torch.Tensor,
        *,
        added: dict[str, torch.Tensor] | None = None,
        residuals: tuple[torch.Tensor, ...] = (),
        scale: float | None = None,
    ) -> tuple[torch.Tensor]:
        self.calls += 1
        out = self.mix(sample) * time.float() + hidden * (1.0 if scale is None else scale)
        for tensor in (*(added or {}).values(), *residuals):
            out = out + tensor
        return (out,)


class GraphedSuite:
    """The suite for every backend. A subclass has the fixtures `backend` and `device`."""

    @pytest.fixture
    def counting(self, backend: Backend) -> CountingBackend:
        return CountingBackend(backend)

    @pytest.fixture
    def network(self, device: str) -> Network:
        torch.manual_seed(3)
        return Network().to(device)

    @pytest.fixture
    def graphed(self, network: Network, counting: CountingBackend, device: str) -> Graphed:
        """Return a network with a graph for the inputs of `call`."""
        graphed = Graphed(network, counting, timestep_to_float32)
        graphed.enable(True)
        graphed.learning = True
        call(network, device)
        graphed.learning = False
        graphed.record()
        counting.replayed = 0
        return graphed

    def test_replays_compute_what_the_network_computes(
        self, graphed: Graphed, network: Network, counting: CountingBackend, device: str
    ) -> None:
        """Other values of the same shapes, nested ones included, use the graph and give the same bytes."""
        for seed in range(3):
            replayed = call(network, device, seed=seed)
            graphed.enable(False)
            assert torch.equal(replayed, call(network, device, seed=seed))
            graphed.enable(True)
        assert counting.replayed == 3

    def test_whole_and_fractional_time_share_a_graph(
        self, graphed: Graphed, network: Network, counting: CountingBackend, device: str
    ) -> None:
        """Integer and float timesteps, on either device, and plain numbers use the same graph."""
        wanted = call(network, device, time=torch.tensor(3.0, device=device))
        for time in (torch.tensor(3, device=device), torch.tensor(3), 3, 3.0):
            assert torch.equal(call(network, device, time=time), wanted)
        assert counting.replayed == 5

    def test_outputs_are_the_callers_own(self, graphed: Graphed, network: Network, device: str) -> None:
        """A later replay does not change an earlier output."""
        first = call(network, device, seed=1)
        before = first.clone()
        call(network, device, seed=2)
        assert torch.equal(first, before)

    @pytest.mark.parametrize("change", ["batch", "constant", "structure", "dtype", "foreign"])
    def test_what_does_not_fit_is_computed_eagerly(
        self, graphed: Graphed, network: Network, counting: CountingBackend, device: str, change: str
    ) -> None:
        """Another batch, attention scale, residuals, dtype or a value of an unknown type is computed eagerly."""
        if change == "dtype":
            network.double()
        calls = network.calls
        call(network, device, **CHANGES[change])
        assert counting.replayed == 0
        assert network.calls == calls + 1

    def test_weights_that_were_moved_come_back(
        self, graphed: Graphed, network: Network, counting: CountingBackend, device: str
    ) -> None:
        """After a cast and back, the graph computes with the current weights."""
        wanted = call(network, device, seed=1)
        places = [weight.data_ptr() for weight in network.parameters()]
        with torch.inference_mode():
            network.double()
            network.float()
        occupied = [torch.full_like(weight, torch.nan) for weight in network.parameters() for _ in range(8)]
        graphed.enable(True)
        assert [weight.data_ptr() for weight in network.parameters()] == places
        assert torch.equal(call(network, device, seed=1), wanted)
        with torch.no_grad():
            network.mix.bias.add_(1)
        changed = call(network, device, seed=1)
        assert torch.allclose(changed, wanted + 2.0)  # `call` has the time 2
        assert counting.replayed == 3
        assert occupied

    def test_nothing_is_recorded_or_replayed_unless_that_is_wanted(
        self, network: Network, counting: CountingBackend, device: str
    ) -> None:
        """Without `learning` nothing is recorded, and while disabled nothing is replayed."""
        graphed = Graphed(network, counting, timestep_to_float32)
        graphed.enable(True)
        call(network, device)
        graphed.record()
        assert counting.recorded == 0
        graphed.learning = True
        call(network, device)
        graphed.record()
        graphed.enable(False)
        replayed = counting.replayed
        call(network, device)
        assert (counting.recorded, counting.replayed) == (1, replayed)


CHANGES: dict[str, dict[str, Any]] = {
    "batch": {"rows": 3},
    "constant": {"scale": 0.5},
    "structure": {"residuals": (1.0,)},
    "dtype": {"dtype": torch.float64},
    "foreign": {"scale": torch.nn.Parameter},
}


def call(network: Network, device: str, *, seed: int = 0, rows: int = 2, **changes: Any) -> torch.Tensor:
    """Call the network as a pipeline does, with random inputs from the seed."""
    dtype = changes.pop("dtype", torch.float32)
    draw = torch.Generator().manual_seed(seed)
    sample, hidden, ids = (torch.randn(rows, 4, generator=draw).to(device, dtype) for _ in range(3))
    time = changes.pop("time", torch.tensor(2, device=device))
    if "residuals" in changes:
        changes["residuals"] = (sample,)
    if changes.get("scale") is torch.nn.Parameter:
        changes["scale"] = _Number(1.5)
    with torch.no_grad():
        output: torch.Tensor = network(sample, time, hidden, added={"ids": ids}, **changes)[0]
    return output


class _Number:
    """A value of a type without a key."""

    def __init__(self, value: float) -> None:
        self._value = value

    def __rmul__(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor * self._value


def _flat(output: Any) -> tuple[torch.Tensor, ...]:
    return output if isinstance(output, tuple) else (output,)
