"""CUDA graphs: a network's forward pass, captured for inputs of one shape and replayed with a single launch.

An eager UNet launches more than a thousand kernels per step, each from Python; a graph launches the same kernels at
once. A graph reads inputs and weights at the addresses of its capture (PyTorch, "CUDA semantics", section CUDA Graphs):
inputs are copied there before each replay, and weights that have moved since are copied back.
"""

import contextlib
from collections.abc import Callable, Hashable, Iterator
from typing import Any, Protocol

import msgspec
import torch

Nested = Any
"""Tensors and constants, nested in dicts, tuples and lists."""
Inputs = tuple[tuple[Any, ...], dict[str, Any]]
"""Positional and named arguments of one call."""
Adapt = Callable[[tuple[Any, ...]], tuple[Any, ...]]
"""Normalizes positional arguments to the form that graphs are captured for."""


class GraphError(RuntimeError):
    """A captured graph can't be used."""


class Recording(msgspec.Struct, frozen=True):
    """A captured call."""

    replay: Callable[[], None]
    """Compute again, from the current content of the input buffers."""
    output: Nested
    """The call's result. The next replay of any recording of the same backend can overwrite it."""


class Backend(Protocol):
    """The interface of CudaBackend. Tests on a CPU use one that computes again on each replay."""

    def record(self, compute: Callable[[], Nested]) -> Recording:
        """Capture a call. Raises the device's error when it can't be captured."""


class CudaBackend:
    """A backend that captures all graphs on one stream and into one memory pool.

    Graphs that share a pool reuse the same memory for intermediate tensors. That is safe here: one graph runs at a
    time, input buffers are allocated outside the pool, and outputs are cloned before the next replay.
    """

    def __init__(self) -> None:
        self._begin()
        self._abandoned: list[torch.cuda.CUDAGraph] = []

    def record(self, compute: Callable[[], Nested]) -> Recording:
        graph = torch.cuda.CUDAGraph()
        self._stream.wait_stream(torch.cuda.current_stream())
        try:
            # This `with` restores the caller's stream: torch.cuda.graph does not when the capture fails.
            with torch.cuda.stream(self._stream):
                compute()  # libraries initialize at their first call on a stream, which can't be captured
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
        """End the capture in the caching allocator, and keep the graph alive.

        When CUDA refuses to end a capture, CUDAGraph::capture_end raises before it notifies the allocator. The
        allocator would then treat the capture as active forever, and no longer free cached memory before it reports out
        of memory. It also keeps a pointer to the graph, so the graph must not be destroyed.
        """
        self._abandoned.append(graph)
        with contextlib.suppress(RuntimeError):  # the capture never began, or the allocator was notified
            torch._C._cuda_endAllocateToPool(torch.cuda.current_device(), self._pool)
        self._begin()


class Graphed:
    """A replacement for a network's `forward` that replays a captured graph, or computes eagerly if none matches.

    A graph matches inputs of the same structure, shapes, dtypes and constants only: another batch size, attention
    arguments, residuals or another dtype are computed eagerly.
    """

    def __init__(self, network: torch.nn.Module, backend: Backend, adapt: Adapt = tuple) -> None:
        self.learning = False
        """Whether to keep the latest inputs without a matching graph, for `record`."""
        self._enabled = False
        self._weights = list(network.parameters())
        self._captured_weights: list[torch.Tensor] = []
        self._forward = network.forward
        self._backend = backend
        self._adapt = adapt
        self._graphs: dict[Hashable, _Graph] = {}
        self._latest: Inputs | None = None
        network.forward = self

    def enable(self, enabled: bool) -> None:
        """Allow or forbid the following calls to use graphs."""
        self._enabled = enabled
        if enabled:
            self._restore_weights()

    def __call__(self, *arguments: Any, **named: Any) -> Nested:
        if not self._enabled:
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
        """Capture the latest call without a matching graph, if there was one, and compare the graph with the network.

        Raises GraphError when their outputs differ, and the device's error when the call can't be captured.
        """
        inputs, self._latest = self._latest, None
        if inputs is None:
            return
        self._restore_weights()
        graph = _Graph(self._backend, self._forward, inputs)
        if not _equal(graph.run(inputs), self._forward(*inputs[0], **inputs[1])):
            raise GraphError("The captured graph and the network computed different outputs.")
        self._captured_weights = self._captured_weights or [weight.data for weight in self._weights]
        self._graphs[_key(inputs)] = graph

    def _restore_weights(self) -> None:
        """Copy weights that were moved, as `module.to` does, back to the addresses that graphs read.

        The captured tensors stay referenced, so their memory is never reused.
        """
        with torch.inference_mode():  # tensors created in inference mode can only be written in inference mode
            for weight, captured in zip(self._weights, self._captured_weights, strict=False):
                if weight.data_ptr() != captured.data_ptr() and weight.dtype == captured.dtype:
                    captured.copy_(weight.data)
                    weight.data = captured


class _Graph:
    """A recording and the buffers that it reads."""

    def __init__(self, backend: Backend, forward: Callable[..., Nested], inputs: Inputs) -> None:
        # Captured with halved inputs, so that the later comparison detects constants baked into the graph.
        self._buffers = _map(inputs, _halved)
        arguments, named = self._buffers
        self._recording = backend.record(lambda: forward(*arguments, **named))

    def run(self, inputs: Inputs) -> Nested:
        """Replay the graph with these inputs and return copies of its outputs."""
        for buffer, tensor in zip(_tensors(self._buffers), _tensors(inputs), strict=True):
            buffer.copy_(tensor)
        self._recording.replay()
        return _map(self._recording.output, torch.clone)


def timestep_to_float32(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Cast a UNet's timestep to a float32 tensor, so that one graph serves every scheduler.

    The UNet itself begins by casting the timestep to float32, so its output is the same.
    """
    sample, timestep, *others = arguments
    return (sample, torch.as_tensor(timestep).to(sample.device, torch.float32), *others)


def _halved(tensor: torch.Tensor) -> torch.Tensor:
    buffer = torch.empty_like(tensor).copy_(tensor)
    return buffer.mul_(0.5) if buffer.is_floating_point() else buffer


def _equal(one: Nested, other: Nested) -> bool:
    pairs = zip(_tensors(one), _tensors(other), strict=True)
    return _key(one) == _key(other) and all(torch.equal(mine, its) for mine, its in pairs)


def _key(value: Nested) -> Hashable:
    """Return the key by which inputs match a graph. A value of an unknown type matches nothing."""
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
    """Apply `change` to each tensor of a nested structure; lists become tuples."""
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
    """Yield the tensors of a nested structure in order."""
    match value:
        case torch.Tensor():
            yield value
        case dict():
            for each in value.values():
                yield from _tensors(each)
        case tuple() | list():
            for each in value:
                yield from _tensors(each)
