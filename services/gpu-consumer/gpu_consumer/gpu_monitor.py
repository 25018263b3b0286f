"""How the GPU stands, by NVIDIA's management library, where there is one; and the usage counters, kept up to date."""

import asyncio
import os
from collections.abc import Mapping
from typing import Any, Self

import msgspec
import pynvml
import structlog

from chassis.loops import Loop
from gpu_consumer import metrics
from gpu_consumer.usage import Usage

log = structlog.get_logger()


class Reading(msgspec.Struct, frozen=True):
    uuid: str
    utilisation: float
    """From 0 to 1: the part of the last moments in which a kernel ran."""
    memory_used_bytes: int
    memory_total_bytes: int
    temperature_celsius: int


class Gpu:
    """The GPU that the render process takes: the first of CUDA_VISIBLE_DEVICES, or of all."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    @classmethod
    def find(cls, environment: Mapping[str, str] = os.environ) -> Self | None:
        """None without a driver or without that GPU: whether rendering can go on is not for this to say."""
        try:
            pynvml.nvmlInit()
            return cls(_handle(environment.get("CUDA_VISIBLE_DEVICES", "").partition(",")[0].strip()))
        except (pynvml.NVMLError, ValueError) as error:
            log.debug("no GPU to watch", reason=str(error))
            return None

    @property
    def uuid(self) -> str | None:
        """None when the GPU does not answer."""
        try:
            return str(pynvml.nvmlDeviceGetUUID(self._handle))
        except pynvml.NVMLError as error:
            log.debug("the GPU tells nothing", reason=str(error))
            return None

    def read(self) -> Reading | None:
        """Takes milliseconds: call it in a thread. None when the GPU does not answer."""
        try:
            memory = pynvml.nvmlDeviceGetMemoryInfo(self._handle)
            return Reading(
                uuid=pynvml.nvmlDeviceGetUUID(self._handle),
                utilisation=pynvml.nvmlDeviceGetUtilizationRates(self._handle).gpu / 100,
                memory_used_bytes=memory.used,
                memory_total_bytes=memory.total,
                temperature_celsius=pynvml.nvmlDeviceGetTemperature(self._handle, pynvml.NVML_TEMPERATURE_GPU),
            )
        except pynvml.NVMLError as error:
            log.debug("the GPU tells nothing", reason=str(error))
            return None


class GpuMonitor(Loop):
    """Reads the GPU every few seconds, and brings the usage counters up to now."""

    name = "gpu-monitor"
    interval = 5.0

    def __init__(self, usage: Usage, gpu: Gpu | None) -> None:
        super().__init__()
        self._usage = usage
        self._gpu = gpu

    async def run_once(self) -> bool:
        self._usage.account()
        if self._gpu is not None and (reading := await asyncio.to_thread(self._gpu.read)) is not None:
            _tell(reading)
        return False


def _handle(name: str) -> Any:
    """By number or UUID, as CUDA_VISIBLE_DEVICES has it. Raises NVMLError, and ValueError for what it may not hold."""
    if name.startswith(("GPU-", "MIG-")):
        return pynvml.nvmlDeviceGetHandleByUUID(name)
    return pynvml.nvmlDeviceGetHandleByIndex(int(name or 0))


def _tell(reading: Reading) -> None:
    metrics.GPU_UTILISATION.labels(reading.uuid).set(reading.utilisation)
    metrics.GPU_MEMORY_USED_BYTES.labels(reading.uuid).set(reading.memory_used_bytes)
    metrics.GPU_MEMORY_TOTAL_BYTES.labels(reading.uuid).set(reading.memory_total_bytes)
    metrics.GPU_TEMPERATURE.labels(reading.uuid).set(reading.temperature_celsius)
