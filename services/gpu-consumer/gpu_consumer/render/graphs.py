"""CUDA graphs: the forward of a network, recorded for inputs of one shape and from then on launched as a whole.

An eager UNet launches more than a thousand kernels a step, each by way of Python; a graph launches the same kernels at
once. It reads inputs and weights where they lay when it was recorded (PyTorch, "CUDA semantics", section CUDA Graphs):
inputs are copied there before each replay, and weights that were moved since are copied back.
"""

import contextlib
from collections.abc import Callable, Hashable, Iterator
from typing import Any, Protocol

import msgspec
import torch

Nested = Any
"""Tensors and constants within dicts, tuples and lists."""
Inputs = tuple[tuple[Any, ...], dict[str, Any]]
"""Positional and named arguments of one call."""
Adapt = Callable[[tuple[Any, ...]], tuple[Any, ...]]
"""Brings positional arguments into the one form that graphs are recorded for."""


class GraphError(RuntimeError):
    """A recorded graph can't be used."""


class Recording(msgspec.Struct, frozen=True):
    """One call of a function, recorded."""

    replay: Callable[[], None]
    """Compute again, from what the input buffers hold now."""
    output: Nested
    """What the call returned. The next replay of any recording of the same backend may overwrite it."""


class Backend(Protocol):
    """As CudaBackend. Tests on a CPU have one that records nothing and computes again."""

    def record(self, compute: Callable[[], Nested]) -> Recording:
        """Raises whatever the device raises about what it can't record."""


class CudaBackend:
    """Records on a stream of its own, all graphs into one pool of memory.

    Graphs that share a pool use the same memory for what lies between input and output. That is safe here: one runs at
    a time, input buffers are allocated outside the pool, and outputs are cloned before the next replay.
    """

    def __init__(self) -> None:
        self._begin()
        self._abandoned: list[torch.cuda.CUDAGraph] = []

    def record(self, compute: Callable[[], Nested]) -> Recording:
        graph = torch.cuda.CUDAGraph()
        self._stream.wait_stream(torch.cuda.current_stream())
        try:
            # This `with` brings the caller's stream back: torch.cuda.graph does not where the capture fails.
            with torch.cuda.stream(self._stream):
                compute()  # what a library sets up at its first call on a stream can't be captured
                with torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
                    output = compute()
        except Exception:
            self._abandon(graph)
            raise
        torch.cuda.current_stream().wait_stream(self._stream)
        return Recording(graph.replay, output)

    def _begin(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()
        self._stream = torch.cuda.Stream()

    def _abandon(self, graph: torch.cuda.CUDAGraph) -> None:
        """Where CUDA refuses to end a capture, CUDAGraph::capture_end raises before it tells the allocator.

        The allocator would then count a capture as under way for ever, and no longer give back cached memory before it
        reports a lack of it. It also keeps a pointer to the graph, so the graph is kept too.
        """
        self._abandoned.append(graph)
        with contextlib.suppress(RuntimeError):  # the capture never began, or the allocator was told
            torch._C._cuda_endAllocateToPool(torch.cuda.current_device(), self._pool)
        self._begin()


class Graphed:
    """Takes the place of a network's `forward`: replays the graph recorded for such inputs, else computes eagerly.

    A graph fits inputs of the same structure, shapes, dtypes and constants, and no others: another batch, attention
    arguments, residuals or another precision are computed eagerly.
    """

    def __init__(self, network: torch.nn.Module, backend: Backend, adapt: Adapt = tuple) -> None:
        self.learning = False
        """Remember the inputs that no graph fits, for `record`."""
        self._serving = False
        self._weights = list(network.parameters())
        self._homes: list[torch.Tensor] = []
        self._forward = network.forward
        self._backend = backend
        self._adapt = adapt
        self._graphs: dict[Hashable, _Graph] = {}
        self._latest: Inputs | None = None
        network.forward = self

    def serve(self, wanted: bool) -> None:
        """Say whether the calls that follow may use graphs."""
        self._serving = wanted
        if wanted:
            self._return_weights()

    def __call__(self, *arguments: Any, **named: Any) -> Nested:
        if not self._serving:
            return self._forward(*arguments, **named)
        inputs = self._adapt(arguments), named
        graph = self._graphs.get(_key(inputs))
        if graph is not None:
            return graph.run(inputs)
        if self.learning:
            self._latest = inputs
        return self._forward(*arguments, **named)

    @torch.no_grad()
    def record(self) -> None:
        """Record the latest call that no graph fitted, if there was one, and compare the graph with the network.

        Raises GraphError when the two differ, and whatever the device raises about what it can't record.
        """
        inputs, self._latest = self._latest, None
        if inputs is None:
            return
        self._return_weights()
        graph = _Graph(self._backend, self._forward, inputs)
        if not _equal(graph.run(inputs), self._forward(*inputs[0], **inputs[1])):
            raise GraphError("The recorded graph computes other numbers than the network.")
        self._homes = self._homes or [weight.data for weight in self._weights]
        self._graphs[_key(inputs)] = graph

    def _return_weights(self) -> None:
        """Copy weights that were moved, as `module.to` does, back to where graphs read them.

        The old places are kept, so a graph never reads memory that is another's.
        """
        with torch.inference_mode():  # what was moved in this mode can be written to in no other
            for weight, home in zip(self._weights, self._homes, strict=False):
                if weight.data_ptr() != home.data_ptr() and weight.dtype == home.dtype:
                    home.copy_(weight.data)
                    weight.data = home


class _Graph:
    """A recording and the buffers that it reads."""

    def __init__(self, backend: Backend, forward: Callable[..., Nested], inputs: Inputs) -> None:
        # Recorded with other numbers than it is compared with: a value that was baked in shows.
        self._buffers = _map(inputs, _halved)
        arguments, named = self._buffers
        self._recording = backend.record(lambda: forward(*arguments, **named))

    def run(self, inputs: Inputs) -> Nested:
        """What the function returns for these inputs, in tensors of its own."""
        for buffer, tensor in zip(_tensors(self._buffers), _tensors(inputs), strict=True):
            buffer.copy_(tensor)
        self._recording.replay()
        return _map(self._recording.output, torch.clone)


def time_in_single_precision(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Give a UNet's time step the one form that graphs know, whatever the scheduler counts in.

    The UNet makes single precision of it as its first act, so the result is the same.
    """
    sample, time, *rest = arguments
    return (sample, torch.as_tensor(time).to(sample.device, torch.float32), *rest)


def _halved(tensor: torch.Tensor) -> torch.Tensor:
    buffer = torch.empty_like(tensor).copy_(tensor)
    return buffer.mul_(0.5) if buffer.is_floating_point() else buffer


def _equal(one: Nested, other: Nested) -> bool:
    pairs = zip(_tensors(one), _tensors(other), strict=True)
    return _key(one) == _key(other) and all(torch.equal(mine, its) for mine, its in pairs)


def _key(value: Nested) -> Hashable:
    """What inputs must share to be computed by one graph. A value of an unknown type fits nothing."""
    match value:
        case torch.Tensor():
            return value.shape, value.dtype
        case dict():
            return tuple((name, _key(each)) for name, each in value.items())
        case tuple() | list():
            return tuple(map(_key, value))
        case None | bool() | int() | float() | str():
            return value
        case _:
            return object()


def _map(value: Nested, change: Callable[[torch.Tensor], torch.Tensor]) -> Nested:
    """The same structure with each tensor changed; lists become tuples."""
    match value:
        case torch.Tensor():
            return change(value)
        case dict():
            return {name: _map(each, change) for name, each in value.items()}
        case tuple() | list():
            return tuple(_map(each, change) for each in value)
        case _:
            return value


def _tensors(value: Nested) -> Iterator[torch.Tensor]:
    """In the order of the structure."""
    match value:
        case torch.Tensor():
            yield value
        case dict():
            for each in value.values():
                yield from _tensors(each)
        case tuple() | list():
            for each in value:
                yield from _tensors(each)
