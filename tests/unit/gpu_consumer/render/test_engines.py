"""How the networks are run: memory layout and compiled code."""

from pathlib import Path
from typing import Any

import pytest
import torch

from gpu_consumer.render import schedulers, warmup
from gpu_consumer.render.pipeline import Pipeline
from gpu_consumer.render.protocol import Size
from gpu_consumer.startup import ModelRefusedError
from tests.support.models import load_of
from tests.support.rendering import open_pipeline, render


def largest_difference(one: bytes, other: bytes) -> int:
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Lets torch.compile compile nothing; the shapes that compiled code was made for."""
    shapes: list[tuple[int, ...]] = []

    def backend(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> object:
        shapes.append(tuple(inputs[-1].shape))
        return graph.forward

    compiler = torch.compile
    monkeypatch.setattr(torch, "compile", lambda module, **named: compiler(module, backend=backend, **named))
    torch._dynamo.reset()
    return shapes


def test_channels_last(tiny_model: Path, pipeline: Pipeline) -> None:
    """The other memory layout renders the same picture, up to rounding, and twice the same."""
    load = load_of(tiny_model, channels_last=True)
    last = open_pipeline(tiny_model, channels_last=True)
    assert load.channels_last
    assert last._model.unet.conv_in.weight.is_contiguous(memory_format=torch.channels_last)
    picture = render(last).images[0].rgb
    assert largest_difference(picture, render(pipeline).images[0].rgb) <= 4
    assert render(last).images[0].rgb == picture


class Recorder(torch.nn.Module):
    """Stands in for compiled code: notes for which shapes and dtypes there would be some, and computes plainly."""

    def __init__(self, network: torch.nn.Module, seen: list[Any]) -> None:
        super().__init__()
        self.network = network
        self.seen = seen

    def forward(self, *args: Any, **named: Any) -> Any:
        kinds = tuple((tuple(one.shape), one.dtype) for one in args if isinstance(one, torch.Tensor))
        if kinds not in self.seen:
            self.seen.append(kinds)
        return self.network(*args, **named)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("network"), name)


def test_no_job_compiles(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code is compiled in the warm-up alone, whatever scheduler, size, guidance or number a job asks for."""
    seen: list[Any] = []
    monkeypatch.setattr(torch, "compile", lambda network, dynamic: Recorder(network, seen))
    sizes = (Size(64, 64), Size(72, 64))
    compiled = open_pipeline(tiny_model, compile=True, sizes=sizes)
    warmup.warm_up(compiled, load_of(tiny_model, sizes=sizes))
    assert len(seen) == 4  # UNet and decoder, for two sizes
    for name in schedulers.NAMES:
        render(compiled, scheduler=name, num_images=2)
    for change in ({"width": 72}, {"width": 128}, {"guidance_scale": 1.0}, {"frugal": True}, {"preview_every": 1}):
        render(compiled, **change)
    assert len(seen) == 4


def test_compiled_code_is_used(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job of a warm size goes through compiled code, UNet and decoder, and one of another size through neither."""
    seen: list[Any] = []
    monkeypatch.setattr(torch, "compile", lambda network, dynamic: Recorder(network, seen))
    compiled = open_pipeline(tiny_model, compile=True)
    render(compiled, width=128)
    assert seen == []
    render(compiled)
    assert len(seen) == 2


@pytest.mark.long
def test_compiled_code_renders_the_same(tiny_model: Path, pipeline: Pipeline, counting: list[tuple[int, ...]]) -> None:
    """A picture from the graphs that torch.compile really captures is that of the plain networks, up to rounding."""
    compiled = open_pipeline(tiny_model, compile=True)
    picture = render(compiled).images[0].rgb
    captured = len(counting)
    assert captured
    assert largest_difference(picture, render(pipeline).images[0].rgb) <= 4
    render(compiled, scheduler="euler")
    assert len(counting) == captured


class Uncompilable(Recorder):
    """Stands in for a network that fails to compile, which shows at its first call."""

    def forward(self, *args: Any, **named: Any) -> Any:
        raise RuntimeError("backend='inductor' raised:\nno such instruction")


def test_failed_compilation_is_a_refusal(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that can't be compiled is refused at the start, with one sentence that says why."""
    monkeypatch.setattr(torch, "compile", lambda network, dynamic: Uncompilable(network, []))
    compiled = open_pipeline(tiny_model, compile=True)
    with pytest.raises(
        ModelRefusedError, match=r"failed its warm-up render of 64x64: .*no such instruction"
    ) as refused:
        warmup.warm_up(compiled, load_of(tiny_model))
    assert "\n" not in refused.value.message
