"""A full-size Stable Diffusion 1.5 with random weights, warm on the GPU. Without a GPU every test here fails.

Each run ends with a table of the tests and of the figures that they measured.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from _pytest.terminal import TerminalReporter

from gpu_consumer.protocol import Load, Size
from gpu_consumer.render import device, memory, warmup
from gpu_consumer.render.pipeline import Pipeline
from tests.support.full_size import write_sd15
from tests.support.models import load_of
from tests.support.rendering import open_pipeline

SIZES = (Size(512, 512), Size(512, 768), Size(1024, 1024))

# Read when CUDA allocates for the first time; as the service sets it for its render process.
os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")


def on_gpu(folder: Path, **changes: object) -> Load:
    """Return the command to load a folder on the GPU in float16, with changes."""
    return load_of(folder, **({"device": "cuda", "dtype": "float16", "sizes": SIZES} | changes))


FIGURES: dict[str, list[str]] = {}
"""Measurements by the test's id."""


def tell(figures: str) -> None:
    """Print figures at once, and in the table at the end."""
    print(f"\n{figures}", end="", flush=True)  # noqa: T201 - figures are half of what these tests are run for
    test = os.environ["PYTEST_CURRENT_TEST"].rpartition(" ")[0]
    FIGURES.setdefault(test, []).append(figures)


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Print the table if tests of this folder were run."""
    reports = [
        report
        for outcome in ("passed", "failed", "error", "skipped")
        for report in terminalreporter.getreports(outcome)
        if "gpu" in getattr(report, "keywords", ())  # a report of a failed collection has none
    ]
    if not reports:
        return
    terminalreporter.section("GPU")
    terminalreporter.write_line("| test | outcome | s | figures |")
    terminalreporter.write_line("|---|---|---:|---|")
    for report in sorted(reports, key=lambda report: report.nodeid):
        name, told = report.nodeid.rpartition("/")[2], "; ".join(FIGURES.get(report.nodeid, []))
        terminalreporter.write_line(f"| {name} | {report.outcome} | {report.duration:.1f} | {told} |")


@pytest.fixture(scope="session")
def gpu() -> str:
    """Return the GPU's name. Without a GPU the tests fail instead of being skipped."""
    if not torch.cuda.is_available():
        pytest.fail("torch finds no CUDA device on this machine.", pytrace=False)
    device.require_determinism()
    return device.confirm("cuda")


@pytest.fixture(scope="session")
def full_size_model(gpu: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "sd15"
    write_sd15(folder, "cuda")
    return folder


@pytest.fixture(scope="session")
def warm(full_size_model: Path) -> Pipeline:
    """Return one warm pipeline for all tests."""
    pipeline = open_pipeline(full_size_model, device="cuda", dtype="float16", sizes=SIZES)
    warmup.warm_up(pipeline, on_gpu(full_size_model))
    return pipeline


@pytest.fixture(scope="session")
def graphed(full_size_model: Path) -> Pipeline:
    """Return a warm pipeline with CUDA graphs."""
    pipeline = open_pipeline(full_size_model, device="cuda", dtype="float16", sizes=SIZES, cuda_graphs=True)
    warmup.warm_up(pipeline, on_gpu(full_size_model, cuda_graphs=True))
    return pipeline


class Crowd:
    """GPU memory occupied by the test."""

    def __init__(self) -> None:
        self._held: list[torch.Tensor] = []

    def leave(self, free_bytes: int) -> None:
        """Allocate the GPU's memory except `free_bytes`."""
        memory.release()
        free, _ = torch.cuda.mem_get_info()
        self._held.append(torch.empty(max(0, free - free_bytes), dtype=torch.uint8, device="cuda"))

    def go(self) -> None:
        """Free the memory."""
        self._held.clear()
        memory.release()


@pytest.fixture
def crowd(gpu: str) -> Iterator[Crowd]:
    """Return an occupation of memory that ends with the test."""
    crowd = Crowd()
    yield crowd
    crowd.go()
