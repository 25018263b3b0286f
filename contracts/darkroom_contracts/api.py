"""Request and response bodies of the HTTP API, and its whole route table.

`__init__` of a Struct does not validate: bounds hold for what was decoded, and the model catalogue adds its own.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from darkroom_contracts.states import JobStatus
from darkroom_contracts.webhooks import TERMINAL_EVENTS

MAX_SEED = 2**32 - 1
MAX_BODY_BYTES = 64 * 1024
DEFAULT_TTL_SECONDS = 24 * 3600

# NUL would break Postgres' text; a lone surrogate never gets through the JSON decoder.
Prompt = Annotated[str, Meta(min_length=1, max_length=4000, pattern=r"^[^\x00]+\Z")]
NegativePrompt = Annotated[str, Meta(max_length=4000, pattern=r"^[^\x00]*\Z")]
MetadataKey = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}\Z")]
MetadataValue = Annotated[str, Meta(max_length=500, pattern=r"^[^\x00]*\Z")]
UserId = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[^\x00]+$")]
WebhookUrl = Annotated[str, Meta(max_length=2048, pattern=r"^https?://[^\s\x00@/?#]+([/?#][^\s\x00]*)?\Z")]
WebhookEvent = Literal["job.started", "job.canceled", "job.expired", "job.failed", "job.succeeded"]
OutputFormat = Literal["png", "jpeg", "webp"]
Timestamp = Annotated[datetime, Meta(tz=True)]


class JobInputRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to render, as asked for. Absent numbers take the model's defaults."""

    prompt: Prompt
    negative_prompt: NegativePrompt = ""
    num_inference_steps: Annotated[int, Meta(ge=1, le=1000)] | None = None
    guidance_scale: Annotated[float, Meta(ge=0, le=100)] | None = None
    scheduler: Annotated[str, Meta(max_length=32)] | None = None
    width: Annotated[int, Meta(ge=8, le=8192)] | None = None
    height: Annotated[int, Meta(ge=8, le=8192)] | None = None
    seed: Annotated[int, Meta(ge=0, le=MAX_SEED)] | None = None
    num_images: Annotated[int, Meta(ge=1, le=16)] = 1
    output_format: OutputFormat = "png"
    preview_every: Annotated[int, Meta(ge=0, le=1000)] = 0
    """Send live views a small picture after every so many steps; 0 sends none."""


class JobRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /v1/jobs."""

    input: JobInputRequest
    model: Annotated[str, Meta(max_length=64)] | None = None
    ttl_seconds: Annotated[int, Meta(ge=1, le=7 * 24 * 3600)] = DEFAULT_TTL_SECONDS
    """Bounds the time a job waits, not the time it renders."""
    deadline_seconds: Annotated[int, Meta(ge=1, le=7 * 24 * 3600)] | None = None
    """Bounds the time a job waits and renders together."""
    user_id: UserId | None = None
    """The tenant's own end user that the job is for; kept on its record and in its message."""
    webhook_url: WebhookUrl | None = None
    webhook_events: Annotated[tuple[WebhookEvent, ...], Meta(min_length=1, max_length=5)] = TERMINAL_EVENTS  # type: ignore[assignment]
    metadata: Annotated[dict[MetadataKey, MetadataValue], Meta(max_length=16)] = {}


class JobInput(msgspec.Struct, frozen=True):
    """What is rendered: every value settled, the seed included."""

    prompt: str
    negative_prompt: str
    num_inference_steps: int
    guidance_scale: float
    scheduler: str
    width: int
    height: int
    seed: int
    num_images: int
    output_format: OutputFormat
    preview_every: int = 0

    @property
    def cost(self) -> int:
        """Pixel steps: width x height x steps x images."""
        return self.width * self.height * self.num_inference_steps * self.num_images


class JobProgress(msgspec.Struct, frozen=True):
    step: int
    steps: int
    value: float
    """Between 0 and 1."""


class Output(msgspec.Struct, frozen=True):
    """One stored picture."""

    index: int
    url: str
    """Presigned; fetch it before `url_expires_at` or ask for the job again."""
    url_expires_at: Timestamp
    content_type: str
    width: int
    height: int
    size_bytes: int
    sha256: str
    seed: int


class JobError(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a job, or its latest attempt, failed."""

    code: str
    message: str
    retryable: bool
    stage: str | None = None
    """Where it happened: queue, claim, render, store or delivery."""
    step: int | None = None
    """The last step that was done, where it happened while rendering."""
    steps: int | None = None


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """How the networks are executed, as far as it changes the last bits of a picture."""

    layout: str
    """Of UNet and VAE in memory: contiguous or channels_last."""
    compiled: list[str]
    """Sizes that torch.compile made code for, such as `512x512`, with ` unguided` where that is for renders without
    guidance; all others run as they are."""
    cuda_graphs: bool
    """Captured as CUDA graphs where that works, which replay the same kernels."""
    attention: str
    """diffusers' attention processors."""
    tf32_convolutions: bool
    """Convolutions of single precision multiply in TF32; SDXL's VAE computes in single precision."""
    tf32_products: bool
    """The same of matrix products."""
    cpu_capability: str
    """The vector instructions that torch chose. On a GPU too: the noise is drawn on the CPU."""
    cpu_threads: int | None
    """That compute; null on a GPU."""


class PictureReceipt(msgspec.Struct, frozen=True):
    seed: int
    sha256: str
    """Hexadecimal, of the stored file."""


class Receipt(msgspec.Struct, frozen=True):
    """What rendered the pictures, so that `darkroom verify` can do it again."""

    model_revision: str
    """Digest of the files that were loaded."""
    scheduler: str
    dtype: str
    device: str
    versions: dict[str, str]
    """Library -> version."""
    manifest_sha256: str | None = None
    """Of the model folder's SHA256SUMS; null where it has none."""
    batch_size: int = 1
    """Pictures rendered together, at most; a GPU's last bits may depend on it."""
    tiled: bool = False
    """Decoded in tiles, for lack of memory, which shows in the last bits."""
    vae_dtype: str | None = None
    """What the VAE decoded in: float32 where float16 overflowed. The widest where pictures differ."""
    execution: Execution | None = None
    pictures: list[PictureReceipt] = []


class JobMetrics(msgspec.Struct, frozen=True):
    queue_ms: float | None = None
    inference_ms: float | None = None
    store_ms: float | None = None


class JobUrls(msgspec.Struct, frozen=True):
    self: str
    cancel: str
    retry: str


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """The whole job, as every endpoint answers it."""

    id: UUID
    status: JobStatus
    version: int = 1
    """Rises with every change of state."""
    model: str
    input: JobInput
    edits: dict[str, Any] | None = None
    """What an operator changed for a replay: `model` and fields of `input`, which already shows them."""
    created_at: Timestamp
    queued_at: Timestamp
    started_at: Timestamp | None = None
    completed_at: Timestamp | None = None
    expires_at: Timestamp
    deadline_at: Timestamp | None = None
    queue_position: int | None = None
    """Jobs of the model that wait before this one; exact up to 1,000, sampled beyond. Null unless queued."""
    estimated_start_at: Timestamp | None = None
    attempt: int = 0
    max_attempts: int
    generation: int = 1
    next_attempt_at: Timestamp | None = None
    worker_session: UUID | None = None
    """The worker's life in which the latest attempt ran; operators find worker, GPU and versions by it."""
    progress: JobProgress | None = None
    outputs: list[Output] = []
    outputs_removed_at: Timestamp | None = None
    """Set once the pictures went for their age; `outputs` is empty then, and the receipt still tells of them."""
    error: JobError | None = None
    dead_lettered: bool = False
    receipt: Receipt | None = None
    metrics: JobMetrics = JobMetrics()
    metadata: dict[str, str] = {}
    user_id: str | None = None
    retried_from: UUID | None = None
    urls: JobUrls


class WholeNumberRange(msgspec.Struct, frozen=True):
    minimum: int
    maximum: int
    default: int


class NumberRange(msgspec.Struct, frozen=True):
    minimum: float
    maximum: float
    default: float


class AllowedSize(msgspec.Struct, frozen=True):
    """Pixels."""

    width: int
    height: int


class ModelView(msgspec.Struct, frozen=True, kw_only=True):
    """A model on offer; ranges are inclusive and carry the names of the input's fields."""

    name: str
    description: str
    default: bool
    """Taken when a job names none."""
    schedulers: tuple[str, ...]
    """The default first."""
    width: WholeNumberRange
    """Pixels, in multiples of `size_multiple`."""
    height: WholeNumberRange
    """Pixels, in multiples of `size_multiple`."""
    size_multiple: int
    num_inference_steps: WholeNumberRange
    guidance_scale: NumberRange
    max_images: int
    max_cost: int
    """Bound on width x height x steps x images."""
    pipeline: str
    """diffusers' class: StableDiffusionPipeline or StableDiffusionXLPipeline."""
    sizes: list[AllowedSize]
    """The only sizes allowed; empty where `width` and `height` alone decide."""
    safety_checker: bool
    """Whether the model's own checker may fail a job for what its pictures show."""


class ModelList(msgspec.Struct, frozen=True):
    """Answer of GET /v1/models."""

    models: list[ModelView]


class CancelReply(msgspec.Struct, frozen=True):
    """How a job stands after a request to cancel it."""

    id: UUID
    status: JobStatus
    """`running` until the worker that holds it has stopped, within a step; a render that is done by then may win."""
    cancel_requested_at: Timestamp | None = None


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """RFC 9457 problem details, content type application/problem+json."""

    type: str
    title: str
    status: int
    code: str
    detail: str | UnsetType = UNSET
    field: str | UnsetType = UNSET
    """Path of the offending field, like `input.width`."""


class Service(StrEnum):
    """The services that the edge sends requests to."""

    GATEWAY = "gateway"
    STATUS = "status"
    OPERATIONS = "operations"


class Scope(StrEnum):
    """What an API key may do. An operator's key may do all that a client's may."""

    CLIENT = "client"
    OPERATOR = "operator"


class Route(msgspec.Struct, frozen=True):
    """A public endpoint. `path` is in Starlette's form; the edge's routes are held to this table by a test."""

    method: str
    path: str
    service: Service
    scope: Scope


ROUTES = (
    Route("POST", "/v1/jobs", Service.GATEWAY, Scope.CLIENT),
    Route("POST", "/v1/jobs/{id:uuid}/cancel", Service.GATEWAY, Scope.CLIENT),
    Route("POST", "/v1/jobs/{id:uuid}/retry", Service.GATEWAY, Scope.CLIENT),
    Route("DELETE", "/v1/jobs/{id:uuid}", Service.GATEWAY, Scope.CLIENT),
    Route("GET", "/v1/jobs/{id:uuid}", Service.STATUS, Scope.CLIENT),
    Route("GET", "/v1/models", Service.STATUS, Scope.CLIENT),
)


def job_urls(job_id: UUID) -> JobUrls:
    """Paths relative to the origin."""
    path = f"/v1/jobs/{job_id}"
    return JobUrls(self=path, cancel=f"{path}/cancel", retry=f"{path}/retry")
