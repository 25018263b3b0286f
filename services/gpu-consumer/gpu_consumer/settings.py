"""Every setting of the GPU consumer."""

import os
import socket
from typing import Annotated

import msgspec
from msgspec import Meta

from chassis.settings import (
    BrokerSettings,
    CatalogueSettings,
    DatabaseSettings,
    LogSettings,
    Port,
    Seconds,
    SettingsError,
    StorageSettings,
)
from darkroom_contracts.models import Model, UnknownModelError
from gpu_consumer.protocol import Device

WorkerName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Each field, those of the groups included, is DARKROOM_<FIELD> in the environment."""

    log: LogSettings
    broker: BrokerSettings
    database: DatabaseSettings
    storage: StorageSettings
    catalogue: CatalogueSettings
    model: str
    """The catalogue's name of the model to render with."""
    device: Device = "cuda"
    """`cpu` must be asked for: it is never fallen back to."""
    worker_name: WorkerName | None = None
    """Names this worker; one living worker has it at a time. Two workers on one machine need two names."""
    lease_seconds: Annotated[float, Meta(ge=1, le=600)] = 15.0
    """How long a job stays with a worker that gives no sign of life. It gives one five times as often."""
    drain_seconds: Seconds = 300.0
    """How long a running job may go on after SIGTERM; then it is stopped and goes back to the queue."""
    render_start_seconds: Seconds = 300.0
    """How long the render process may take to load and warm up its model."""
    render_step_seconds: Seconds = 120.0
    """How long a step may take; then the render process counts as hung and is replaced."""
    render_seconds: Annotated[float, Meta(gt=0, le=1500)] = 1200.0
    """How long one render may take in all: well below the 30 minutes after which RabbitMQ ends a silent delivery."""
    cpu_threads: Annotated[int, Meta(ge=1, le=256)] = max(1, (os.cpu_count() or 1) // 2)
    """Threads torch may compute with on the CPU."""
    channels_last: bool = False
    """Keep UNet and VAE in the memory layout that tensor cores read fastest."""
    compile: bool = False
    """Compile UNet and VAE decoder with torch.compile at the start: minutes once, then faster steps."""
    cuda_graphs: bool = False
    """Capture UNet and VAE decoder as CUDA graphs at the start: seconds once and more memory, then less waiting between
    kernels. Needs a CUDA device; not together with `compile`."""
    overlap: bool = True
    """Render the next job while one is stored. Without it the GPU waits: for measuring, and for finding faults."""
    consumer_host: str = "127.0.0.1"
    consumer_port: Port = 8083
    """Where /healthz, /readyz and /metrics are served."""

    @property
    def name(self) -> str:
        """The worker's name: the one it was given, or the machine's with the model's."""
        return self.worker_name or f"{socket.gethostname()}-{self.model}"

    @property
    def heartbeat_seconds(self) -> float:
        return self.lease_seconds / 5

    def check(self) -> None:
        """Raises SettingsError with a sentence for each setting that contradicts another."""
        mistakes = []
        if self.cuda_graphs and self.compile:
            mistakes.append(
                "DARKROOM_CUDA_GRAPHS: compiled code can't be captured; set either it or DARKROOM_COMPILE to false."
            )
        if self.cuda_graphs and self.device != "cuda":
            mistakes.append(
                "DARKROOM_CUDA_GRAPHS: a CPU has no CUDA graphs; set it to false, or DARKROOM_DEVICE to cuda."
            )
        if mistakes:
            raise SettingsError("\n".join(mistakes))

    def find_model(self) -> Model:
        """The model to render with. Raises CatalogueError, and SettingsError when the catalogue does not hold it."""
        try:
            return self.catalogue.load().find(self.model)
        except UnknownModelError as error:
            raise SettingsError(f"DARKROOM_MODEL: {error}") from error
