"""The GPU's figures, read from a stand-in of NVML."""

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest
from prometheus_client import REGISTRY

from gpu_consumer.usage import Usage
from gpu_consumer.worker.gpu_monitor import Gpu, GpuMonitor, Reading
from tests.support.waiting import eventually

UUID = "GPU-0aa1"
MEMORY = SimpleNamespace(used=3 << 30, total=8 << 30)


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in for a driver with two GPUs, by number and by UUID."""

    def by_uuid(uuid: str) -> str:
        if uuid != UUID:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return uuid

    def by_index(index: int) -> str:
        if index not in (0, 1):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        return f"number {index}"

    answers: dict[str, Any] = {
        "nvmlInit": lambda: None,
        "nvmlDeviceGetHandleByUUID": by_uuid,
        "nvmlDeviceGetHandleByIndex": by_index,
        "nvmlDeviceGetUUID": lambda handle: f"of {handle}",
        "nvmlDeviceGetMemoryInfo": lambda handle: MEMORY,
        "nvmlDeviceGetUtilizationRates": lambda handle: SimpleNamespace(gpu=97, memory=40),
        "nvmlDeviceGetTemperature": lambda handle, sensor: 63,
    }
    for name, answer in answers.items():
        monkeypatch.setattr(pynvml, name, answer)


@pytest.mark.parametrize(
    ("visible", "taken"),
    [
        ("", "of number 0"),
        ("1", "of number 1"),
        ("1,0", "of number 1"),
        (f"{UUID},0", f"of {UUID}"),
        ("7", None),
        ("GPU-other", None),
        ("nonsense", None),
    ],
)
def test_the_gpu_that_cuda_would_take_is_watched(nvml: None, visible: str, taken: str | None) -> None:
    """A GPU that does not exist is not monitored."""
    gpu = Gpu.find({"CUDA_VISIBLE_DEVICES": visible})
    reading = gpu.read() if gpu else None
    assert (reading.uuid if reading else None) == taken


async def test_a_round_tells_how_the_gpu_stands(nvml: None) -> None:
    """Utilisation, memory and temperature become metrics, and the usage counters are brought up to date."""
    usage = Usage()
    counted = _sample("darkroom_gpu_seconds_total", use="loading")
    assert await GpuMonitor(usage, Gpu.find({})).run_once() is False
    assert _sample("darkroom_gpu_utilisation_ratio", gpu="of number 0") == 0.97
    assert _sample("darkroom_gpu_memory_used_bytes", gpu="of number 0") == 3 << 30
    assert _sample("darkroom_gpu_memory_total_bytes", gpu="of number 0") == 8 << 30
    assert _sample("darkroom_gpu_temperature_celsius", gpu="of number 0") == 63
    assert _sample("darkroom_gpu_seconds_total", use="loading") > counted


async def test_without_a_driver_nothing_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without NVML nothing is monitored, and nothing raises."""

    def no_library() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", no_library)
    assert Gpu.find({}) is None
    await GpuMonitor(Usage(), None).run_once()


@pytest.mark.parametrize("code", [pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_NO_PERMISSION])
def test_a_reading_that_is_not_offered_drops_only_itself(
    nvml: None, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """A figure that the driver does not offer is None, and the others are read."""

    def refuse(handle: str) -> None:
        raise pynvml.NVMLError(code)

    monkeypatch.setattr(pynvml, "nvmlDeviceGetUtilizationRates", refuse)
    gpu = Gpu.find({})
    assert gpu is not None
    assert gpu.read() == Reading("of number 0", None, MEMORY.used, MEMORY.total, 63)


async def test_a_round_leaves_out_what_is_not_offered(nvml: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing figure has no sample; the others have."""

    def refuse(handle: str, sensor: int) -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    monkeypatch.setattr(pynvml, "nvmlDeviceGetTemperature", refuse)
    await GpuMonitor(Usage(), Gpu.find({"CUDA_VISIBLE_DEVICES": "1"})).run_once()
    assert _sample("darkroom_gpu_memory_used_bytes", gpu="of number 1") == MEMORY.used
    assert REGISTRY.get_sample_value("darkroom_gpu_temperature_celsius", {"gpu": "of number 1"}) is None


async def test_a_gpu_that_stops_answering_is_survived(nvml: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that does not answer has no reading."""

    def lost(handle: str) -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)

    gpu = Gpu.find({})
    assert gpu is not None
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", lost)
    assert gpu.read() is None


def test_a_driver_that_never_answers_does_not_hold_up_the_exit(nvml: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker whose GPU was lost ends, so that its supervisor notices, while the driver still holds a thread."""
    asked, answers = threading.Event(), threading.Event()

    def never(handle: str) -> None:
        asked.set()
        answers.wait(30)

    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", never)

    async def live() -> None:
        monitoring = asyncio.create_task(GpuMonitor(Usage(), Gpu.find({})).run(asyncio.Event()))
        await eventually(asked.is_set)
        monitoring.cancel()

    life = threading.Thread(target=asyncio.run, args=[live()], daemon=True)
    life.start()
    life.join(10)
    ended = not life.is_alive()
    answers.set()
    assert ended


async def test_a_bug_of_a_reading_is_raised(nvml: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the thread of a reading raises is raised by the round, which logs it."""

    def break_down(handle: str) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", break_down)
    with pytest.raises(ZeroDivisionError):
        await GpuMonitor(Usage(), Gpu.find({})).run_once()


def _sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0
