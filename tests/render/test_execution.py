"""The execution settings that a render process reports."""

from collections.abc import Callable, Iterator

import pytest
import torch

from gpu_consumer.protocol import Size
from gpu_consumer.render import execution
from gpu_consumer.render.pipeline import Pipeline
from tests.support.models import load_of

FOLDER = "/models/tiny"


def test_execution_on_a_cpu(pipeline: Pipeline) -> None:
    """On a CPU, vector instructions and threads are reported, and TF32, which it lacks, is false."""
    told = execution.describe(pipeline._model, load_of(FOLDER))
    assert (told.layout, told.compiled, told.cuda_graphs) == ("contiguous", [], False)
    assert told.attention == "AttnProcessor2_0"
    assert (told.tf32_convolutions, told.tf32_products) == (False, False)
    assert told.cpu_capability == torch.backends.cpu.get_cpu_capability()
    assert told.cpu_threads == torch.get_num_threads()
    assert pipeline.execution == told


def test_execution_follows_the_order(pipeline: Pipeline) -> None:
    """Layout and CUDA graphs are reported as they were set."""
    told = execution.describe(pipeline._model, load_of(FOLDER, channels_last=True, cuda_graphs=True))
    assert (told.layout, told.compiled, told.cuda_graphs) == ("channels_last", [], True)


@pytest.mark.parametrize(
    ("guidance", "sizes"), [(7.5, ["512x512", "512x768"]), (1.0, ["512x512 unguided", "512x768 unguided"])]
)
def test_compiled_sizes(pipeline: Pipeline, guidance: float, sizes: list[str]) -> None:
    """Compiled code is reported by its sizes and guidance, since other renders run other code."""
    load = load_of(FOLDER, compile=True, sizes=(Size(512, 768), Size(512, 512)), guidance_scale=guidance)
    assert execution.describe(pipeline._model, load).compiled == sizes


@pytest.fixture
def tf32() -> Iterator[Callable[[bool, bool], None]]:
    """Allow TF32 in convolutions and matrix products until the end of the test."""
    convolutions, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = convolutions.allow_tf32, products.allow_tf32

    def allow(in_convolutions: bool, in_products: bool) -> None:
        convolutions.allow_tf32, products.allow_tf32 = in_convolutions, in_products

    yield allow
    allow(*before)


@pytest.mark.parametrize(("convolutions", "products"), [(True, False), (False, True)])
def test_tf32_on_a_gpu(
    pipeline: Pipeline, tf32: Callable[[bool, bool], None], convolutions: bool, products: bool
) -> None:
    """On a GPU, the use of TF32 is reported and threads are not, since they don't compute."""
    tf32(convolutions, products)
    told = execution.describe(pipeline._model, load_of(FOLDER, device="cuda"))
    assert (told.tf32_convolutions, told.tf32_products, told.cpu_threads) == (convolutions, products, None)


def test_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    """The versions of the libraries that shape a picture are reported, CUDA and cuDNN on a GPU only."""
    on_cpu = execution.versions("cpu")
    assert on_cpu.keys() == {"darkroom", "torch", "diffusers", "transformers"}
    assert on_cpu["torch"] == torch.__version__
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91002)
    assert execution.versions("cuda") == on_cpu | {"cuda": "13.0", "cudnn": "9.10.2"}
