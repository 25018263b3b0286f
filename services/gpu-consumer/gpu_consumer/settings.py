"""The settings of the GPU consumer."""

import os
import socket
from typing import Annotated

from msgspec import Meta

from chassis.settings import (
    Address,
    BrokerSettings,
    CatalogueSettings,
    DatabaseSettings,
    Port,
    Seconds,
    ServiceSettings,
    SettingsError,
    StorageSettings,
)
from darkroom_contracts.models import Model, UnknownModelError
from gpu_consumer.protocol import Device

WorkerName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")]


class Settings(ServiceSettings, frozen=True, kw_only=True):
    """The settings of the GPU consumer."""

    broker: BrokerSettings
    database: DatabaseSettings
    storage: StorageSettings
    catalogue: CatalogueSettings
    model: Annotated[str, Meta(description="Name in the catalogue of the model to render with.")]
    device: Annotated[
        Device, Meta(description="Where to render. `cpu` must be set explicitly: it is never a fallback.")
    ] = "cuda"
    worker_name: Annotated[
        WorkerName | None,
        Meta(
            description="Name of the worker, which one live worker at a time can have. Two workers on one machine need"
            " two names.",
            extra={"default": "machine and model"},
        ),
    ] = None
    lease_seconds: Annotated[
        float,
        Meta(
            ge=1,
            le=600,
            description="Seconds until a job is taken back from a worker without heartbeats, of which it sends one in"
            " each fifth of them. Equal in gpu-consumer and operations.",
        ),
    ] = 15.0
    drain_seconds: Annotated[
        Seconds,
        Meta(description="Seconds that a running job may continue after SIGTERM; then it returns to the queue."),
    ] = 300.0
    render_start_seconds: Annotated[
        Seconds, Meta(description="Seconds that the render process may take to load and warm up its model.")
    ] = 300.0
    render_step_seconds: Annotated[
        Seconds, Meta(description="Seconds that a step may take; then the render process counts as hung.")
    ] = 120.0
    render_seconds: Annotated[
        float,
        Meta(
            gt=0,
            le=1500,
            description="Seconds that a render may take; then the job fails with `render_timeout`. Well below the 30"
            " minutes after which RabbitMQ closes the channel of an unacknowledged delivery.",
        ),
    ] = 1200.0
    cpu_threads: Annotated[
        int,
        Meta(
            ge=1,
            le=256,
            description="Threads that torch may use on the CPU.",
            extra={"default": "half of the CPU cores"},
        ),
    ] = max(1, (os.cpu_count() or 1) // 2)
    channels_last: Annotated[
        bool, Meta(description="Store UNet and VAE in the memory layout that tensor cores read fastest.")
    ] = False
    compile: Annotated[
        bool,
        Meta(description="Compile UNet and VAE decoder with torch.compile: minutes at the start, then faster steps."),
    ] = False
    cuda_graphs: Annotated[
        bool,
        Meta(
            description="Capture UNet and VAE decoder as CUDA graphs: seconds at the start and more memory, then fewer"
            " launches. Needs a CUDA device, and cannot be combined with `DARKROOM_COMPILE`."
        ),
    ] = False
    overlap: Annotated[
        bool,
        Meta(description="Render the next job while one is stored. `false` is for measurements and troubleshooting."),
    ] = True
    consumer_host: Annotated[str, Meta(description="Address to listen on.")] = "127.0.0.1"
    consumer_port: Annotated[Port, Meta(description="Port of /healthz, /readyz and /metrics.")] = 8083

    @property
    def name(self) -> str:
        """The worker's name; by default the machine's and the model's."""
        return self.worker_name or f"{socket.gethostname()}-{self.model}"

    @property
    def heartbeat_seconds(self) -> float:
        """Seconds between two heartbeats."""
        return self.lease_seconds / 5

    @property
    def address(self) -> Address:
        return Address(self.consumer_host, self.consumer_port)

    def __post_init__(self) -> None:
        """Raise SettingsError with a line for each setting that contradicts another."""
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
        """Return the model to render with. Raises CatalogueError, and SettingsError when the catalogue lacks it."""
        try:
            return self.catalogue.load().find(self.model)
        except UnknownModelError as error:
            raise SettingsError(f"DARKROOM_MODEL: {error}") from error
