"""Execution of the networks: memory layout, compiled code and CUDA graphs."""

from pathlib import Path
from typing import Any

import pytest
import torch

from gpu_consumer.protocol import Size
from gpu_consumer.render import engines, schedulers, warmup
from gpu_consumer.render.pipeline import Pipeline
from gpu_consumer.startup import ModelRefusedError
from tests.support.graphs import CountingBackend, FailingBackend, ForgetfulBackend, PlainBackend
from tests.support.models import load_of
from tests.support.rendering import Watcher, attempt, failure, open_pipeline, render, weights_gone_bad


def largest_difference(one: bytes, other: bytes) -> int:
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Replace torch.compile; return the shapes that it would have compiled."""
    shapes: list[tuple[int, ...]] = []

    def backend(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> object:
        shapes.append(tuple(inputs[-1].shape))
        return graph.forward

    compiler = torch.compile
    monkeypatch.setattr(torch, "compile", lambda module, **named: compiler(module, backend=backend, **named))
    torch._dynamo.reset()
    return shapes


def test_channels_last(tiny_model: Path, pipeline: Pipeline) -> None:
    """The channels_last layout renders the same picture up to rounding, with the same bytes each time."""
    load = load_of(tiny_model, channels_last=True)
    last = open_pipeline(tiny_model, channels_last=True)
    assert load.channels_last
    assert last._model.unet.conv_in.weight.is_contiguous(memory_format=torch.channels_last)
    picture = render(last).images[0].rgb
    assert largest_difference(picture, render(pipeline).images[0].rgb) <= 4
    assert render(last).images[0].rgb == picture


class Recorder(torch.nn.Module):
    """A fake of compiled code that records shapes and dtypes, and computes eagerly."""

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
    """Code is compiled only in the warm-up, whatever scheduler, size, guidance or number of pictures a job has."""
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
    """A job of a warmed-up size uses the compiled UNet and decoder, and one of another size uses neither."""
    seen: list[Any] = []
    monkeypatch.setattr(torch, "compile", lambda network, dynamic: Recorder(network, seen))
    compiled = open_pipeline(tiny_model, compile=True)
    render(compiled, width=128)
    assert seen == []
    render(compiled)
    assert len(seen) == 2


def test_compiled_code_is_guided_as_the_models_default_is(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a model without guidance by default, code is compiled for jobs without guidance, and used."""
    seen: list[Any] = []
    monkeypatch.setattr(torch, "compile", lambda network, dynamic: Recorder(network, seen))
    compiled = open_pipeline(tiny_model, compile=True, guidance_scale=0.0)
    warmup.warm_up(compiled, load_of(tiny_model, guidance_scale=0.0))
    assert [kinds[0][0] for kinds in seen] == [(1, 4, 8, 8), (1, 4, 8, 8)]  # one picture: UNet and decoder
    before = seen.copy()
    seen.clear()
    render(compiled, guidance_scale=1.0)
    assert seen == before
    seen.clear()
    render(compiled, guidance_scale=7.5)
    assert len(seen) == 1  # the decoder


@pytest.mark.long
def test_compiled_code_renders_the_same(tiny_model: Path, pipeline: Pipeline, counting: list[tuple[int, ...]]) -> None:
    """A picture from graphs that torch.compile captured equals the eager one up to rounding."""
    compiled = open_pipeline(tiny_model, compile=True)
    picture = render(compiled).images[0].rgb
    captured = len(counting)
    assert captured
    assert largest_difference(picture, render(pipeline).images[0].rgb) <= 4
    render(compiled, scheduler="euler")
    assert len(counting) == captured


class Uncompilable(Recorder):
    """A fake of a network whose compilation fails at the first call."""

    def forward(self, *args: Any, **named: Any) -> Any:
        raise RuntimeError("backend='inductor' raised:\nno such instruction")


def test_failed_compilation_is_a_refusal(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that can't be compiled is refused at the start, with the reason in one sentence."""
    monkeypatch.setattr(torch, "compile", lambda network, dynamic: Uncompilable(network, []))
    compiled = open_pipeline(tiny_model, compile=True)
    with pytest.raises(
        ModelRefusedError, match=r"failed its warm-up render of 64x64: .*no such instruction"
    ) as refused:
        warmup.warm_up(compiled, load_of(tiny_model))
    assert "\n" not in refused.value.message


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> CountingBackend:
    """Return a fake of CUDA graphs."""
    counting = CountingBackend(PlainBackend())
    monkeypatch.setattr(engines, "CudaBackend", lambda: counting)
    return counting


def graphed_pipeline(folder: Path, **changes: Any) -> Pipeline:
    """Return a pipeline that was warmed up with graphs."""
    pipeline = open_pipeline(folder, cuda_graphs=True, **changes)
    warmup.warm_up(pipeline, load_of(folder, cuda_graphs=True, **changes))
    return pipeline


@pytest.mark.parametrize("scheduler", schedulers.NAMES)
def test_graphs_make_the_same_picture(
    tiny_model: Path, pipeline: Pipeline, backend: CountingBackend, scheduler: str
) -> None:
    """With every scheduler, each step and the decode use a graph, and the bytes equal an eager render's."""
    graphed = graphed_pipeline(tiny_model)
    backend.replayed = 0
    watcher = Watcher()
    picture = render(graphed, watcher, scheduler=scheduler)
    assert backend.replayed == len(watcher.steps) + 1
    assert picture.images == render(pipeline, scheduler=scheduler).images


def test_graphs_are_captured_in_the_warm_up_alone(tiny_model: Path, backend: CountingBackend) -> None:
    """The warm-up captures the UNet and the decoder for each size, and no job captures anything."""
    sizes = (Size(64, 64), Size(72, 64))
    graphed = graphed_pipeline(tiny_model, sizes=sizes)
    assert (backend.recorded, graphed.engines.failed_captures) == (4, 0)
    for change in ({}, {"width": 72}, {"width": 128}, {"guidance_scale": 1.0}, {"frugal": True}, {"num_images": 2}):
        render(graphed, **change)
    assert backend.recorded == 4


@pytest.mark.parametrize(
    ("change", "replays"),
    [
        ({"width": 128}, 0),
        ({"guidance_scale": 1.0}, 1),  # the decode
        ({"frugal": True}, 3),  # the steps
        ({}, 4),
    ],
)
def test_jobs_that_fit_no_graph_are_rendered_eagerly(
    tiny_model: Path, pipeline: Pipeline, backend: CountingBackend, change: dict[str, Any], replays: int
) -> None:
    """Another size, other guidance and a tiled decode give the bytes of an eager render."""
    graphed = graphed_pipeline(tiny_model)
    backend.replayed = 0
    assert render(graphed, **change).images == render(pipeline, **change).images
    assert backend.replayed == replays


def test_graphs_are_guided_as_the_models_default_is(tiny_model: Path, backend: CountingBackend) -> None:
    """For a model without guidance by default, jobs without guidance use graphs and jobs with guidance do not."""
    graphed = graphed_pipeline(tiny_model, guidance_scale=1.0)
    backend.replayed = 0
    render(graphed, guidance_scale=0.0)
    assert backend.replayed == 4
    render(graphed, guidance_scale=7.5)
    assert backend.replayed == 5


def test_xl_is_captured_with_its_conditions(tiny_sdxl_model: Path, backend: CountingBackend) -> None:
    """SDXL's size conditions and pooled embeddings are inputs of the graph."""
    changes: dict[str, Any] = {"pipeline": "StableDiffusionXLPipeline"}
    plain = render(open_pipeline(tiny_sdxl_model, **changes), prompt="one").images
    graphed = graphed_pipeline(tiny_sdxl_model, **changes)
    backend.replayed = 0
    assert render(graphed, prompt="one").images == plain
    assert backend.replayed == 4
    assert render(graphed, prompt="another").images != plain


def test_a_decoder_that_needs_single_precision_is_not_captured(tiny_sdxl_model: Path, backend: CountingBackend) -> None:
    """The decoder of SDXL in float16, which is cast to float32 for each decode, gets no graph."""
    graphed = graphed_pipeline(tiny_sdxl_model, pipeline="StableDiffusionXLPipeline", dtype="float16")
    assert (backend.recorded, graphed.engines.failed_captures) == (1, 0)


def test_failed_captures_are_counted_and_served_eagerly(
    tiny_model: Path, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A failed capture is one line in the log with its reason, and the picture is rendered eagerly."""
    monkeypatch.setattr(engines, "CudaBackend", FailingBackend)
    graphed = graphed_pipeline(tiny_model)
    assert graphed.engines.failed_captures == 2
    assert capsys.readouterr().out.splitlines()[:2] == [
        f"CUDA graph capture failed for the {name} at 64x64: RuntimeError: operation not permitted when stream is "
        "capturing"
        for name in ("UNet", "decoder")
    ]
    assert render(graphed).images == render(pipeline).images


def test_a_graph_that_computes_other_numbers_is_a_failed_capture(
    tiny_model: Path, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A graph with other outputs than the network is a failed capture and renders no picture."""
    monkeypatch.setattr(engines, "CudaBackend", ForgetfulBackend)
    graphed = graphed_pipeline(tiny_model)
    assert graphed.engines.failed_captures == 2
    assert render(graphed).images == render(pipeline).images


def test_graphs_make_the_same_picture_after_whatever_came_before(
    tiny_model: Path, pipeline: Pipeline, backend: CountingBackend
) -> None:
    """After an abort, a failed job and a decode in float32, graphs give the same bytes."""
    graphed = graphed_pipeline(tiny_model)
    wanted = render(pipeline).images
    attempt(graphed, Watcher(abort_at=2))
    assert render(graphed).images == wanted
    with weights_gone_bad(graphed):
        failure(graphed)
    assert render(graphed).images == wanted
    graphed._model.vae.to(torch.float64)
    graphed._model.vae.to(torch.float32)
    backend.replayed = 0
    assert render(graphed).images == wanted
    assert backend.replayed == 4
