"""The state of the GPU, read by NVIDIA's management library (NVML), as metrics."""

import asyncio
import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from threading import Thread
from typing import Any, Self, TypeVar

import msgspec
import pynvml
import structlog

from chassis.loops import Loop
from gpu_consumer import metrics
from gpu_consumer.usage import Usage

_NOT_OFFERED = (
    pynvml.NVML_ERROR_NOT_SUPPORTED,
    pynvml.NVML_ERROR_NO_PERMISSION,
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,
)

T = TypeVar("T")

log = structlog.get_logger()


class Reading(msgspec.Struct, frozen=True):
    """The GPU's figures; None for each that the GPU or its driver does not offer."""

    uuid: str
    utilisation: float | None
    """From 0 to 1: the share of the last sample period in which a kernel ran."""
    memory_used_bytes: int | None
    memory_total_bytes: int | None
    temperature_celsius: int | None


class Gpu:
    """The GPU of the render process: the first of CUDA_VISIBLE_DEVICES, or of all."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    @classmethod
    def find(cls, environment: Mapping[str, str] = os.environ) -> Self | None:
        """Return the GPU, or None without a driver or without that GPU. The worker starts all the same."""
        try:
            pynvml.nvmlInit()
            return cls(_handle(environment.get("CUDA_VISIBLE_DEVICES", "").partition(",")[0].strip()))
        except (pynvml.NVMLError, ValueError) as error:
            log.debug("no GPU to monitor", reason=str(error))
            return None

    @property
    def uuid(self) -> str | None:
        """The GPU's UUID; None when it does not answer."""
        try:
            return str(pynvml.nvmlDeviceGetUUID(self._handle))
        except pynvml.NVMLError as error:
            log.debug("the GPU does not answer", reason=str(error))
            return None

    def read(self) -> Reading | None:
        """Return the GPU's figures, or None when it does not answer. Takes milliseconds: call it in a thread."""
        handle = self._handle
        try:
            memory = _if_offered(pynvml.nvmlDeviceGetMemoryInfo, handle)
            utilisation = _if_offered(pynvml.nvmlDeviceGetUtilizationRates, handle)
            return Reading(
                uuid=pynvml.nvmlDeviceGetUUID(handle),
                utilisation=utilisation and utilisation.gpu / 100,
                memory_used_bytes=memory and memory.used,
                memory_total_bytes=memory and memory.total,
                temperature_celsius=_if_offered(pynvml.nvmlDeviceGetTemperature, handle, pynvml.NVML_TEMPERATURE_GPU),
            )
        except pynvml.NVMLError as error:
            log.debug("the GPU does not answer", reason=str(error))
            return None


class GpuMonitor(Loop):
    """Reads the GPU every few seconds and brings the usage counters up to date."""

    name = "gpu-monitor"
    interval = 5.0

    def __init__(self, usage: Usage, gpu: Gpu | None) -> None:
        super().__init__()
        self._usage = usage
        self._gpu = gpu

    async def run_once(self) -> bool:
        self._usage.account()
        if self._gpu is not None and (reading := await _in_daemon(self._gpu.read)) is not None:
            _publish(reading)
        return False


async def _in_daemon(work: Callable[[], T]) -> T:
    """Do the work in a daemon thread.

    A driver that lost its GPU may never answer, and the exit of the process waits for the threads of asyncio.
    """
    result: Future[T] = Future()

    def run() -> None:
        result.set_running_or_notify_cancel()
        try:
            result.set_result(work())
        except Exception as error:
            result.set_exception(error)

    Thread(target=run, name="nvml", daemon=True).start()
    return await asyncio.wrap_future(result)


def _handle(name: str) -> Any:
    """Return NVML's handle for an entry of CUDA_VISIBLE_DEVICES, a number or UUID. Raises NVMLError or ValueError."""
    if name.startswith(("GPU-", "MIG-")):
        return pynvml.nvmlDeviceGetHandleByUUID(name)
    return pynvml.nvmlDeviceGetHandleByIndex(int(name or 0))


def _if_offered(reading: Callable[..., Any], *arguments: Any) -> Any:
    """Return the reading, or None if this GPU or driver does not offer it: MIG slices and vGPUs lack some."""
    try:
        return reading(*arguments)
    except pynvml.NVMLError as error:
        if error.value not in _NOT_OFFERED:
            raise
        return None


def _publish(reading: Reading) -> None:
    figures = (
        (metrics.GPU_UTILISATION, reading.utilisation),
        (metrics.GPU_MEMORY_USED_BYTES, reading.memory_used_bytes),
        (metrics.GPU_MEMORY_TOTAL_BYTES, reading.memory_total_bytes),
        (metrics.GPU_TEMPERATURE, reading.temperature_celsius),
    )
    for gauge, figure in figures:
        if figure is not None:
            gauge.labels(reading.uuid).set(figure)
