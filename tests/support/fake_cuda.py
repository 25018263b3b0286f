"""As much of torch.cuda as captures need, with CUDAGraph.cpp's behaviour where a capture fails, and no GPU."""

import contextlib
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
import torch


class FakeCuda:
    """The driver's side: which stream is current, which pools the allocator counts as captured into."""

    def __init__(self) -> None:
        self.current = "default"
        self.open_pools: set[int] = set()
        self.captured_into: list[tuple[str, int]] = []
        """Stream and pool of each capture that succeeded."""
        self.pointed_at: list[weakref.ref[FakeGraph]] = []
        """Graphs that the allocator of pinned memory still points at: those whose capture failed."""
        self._made = 0

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        replacements: dict[str, Any] = {
            "graph_pool_handle": self._next,
            "Stream": lambda: FakeStream(f"side {self._next()}"),
            "current_stream": lambda: FakeStream(self.current),
            "current_device": lambda: 0,
            "stream": self._on,
            "CUDAGraph": FakeGraph,
            "graph": self._capture,
        }
        for name, replacement in replacements.items():
            monkeypatch.setattr(torch.cuda, name, replacement)
        monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", self._end, raising=False)

    def _next(self) -> int:
        self._made += 1
        return self._made

    @contextlib.contextmanager
    def _on(self, stream: "FakeStream") -> Iterator[None]:
        before, self.current = self.current, stream.name
        try:
            yield
        finally:
            self.current = before

    @contextlib.contextmanager
    def _capture(self, graph: "FakeGraph", pool: int, stream: "FakeStream") -> Iterator[None]:
        before, self.current = self.current, stream.name
        self.open_pools.add(pool)
        self.pointed_at.append(weakref.ref(graph))
        yield  # an error within goes on from here: neither stream nor pool is as before
        self.pointed_at.pop()
        self.open_pools.remove(pool)
        self.current = before
        self.captured_into.append((stream.name, pool))

    def _end(self, device: int, pool: int) -> None:
        if pool not in self.open_pools:
            raise RuntimeError("endAllocatePool: not currently recording to mempool_id")
        self.open_pools.remove(pool)


class FakeStream:
    def __init__(self, name: str) -> None:
        self.name = name

    def wait_stream(self, other: "FakeStream") -> None:
        """Nothing runs."""


class FakeGraph:
    def replay(self) -> None:
        """Nothing was recorded."""
