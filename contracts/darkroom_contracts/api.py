"""Request and response bodies of the HTTP API.

Descriptions of fields stand in `Meta`, from where the API's documents take them. `__init__` of a Struct does not
validate: bounds hold for what was decoded, and the model catalogue has narrower ones.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from darkroom_contracts.states import JobStatus
from darkroom_contracts.webhooks import TERMINAL_EVENTS, WebhookEvent

MAX_SEED = 2**32 - 1
MAX_BODY_BYTES = 64 * 1024
DEFAULT_TTL_SECONDS = 24 * 3600

# Postgres cannot store NUL in text; a lone surrogate never passes the JSON decoder. `$(?!\n)` is the end of the text in
# Python and in JavaScript alike: Python's `$` also matches before a final line break, and JavaScript has no `\Z`.
Prompt = Annotated[str, Meta(min_length=1, max_length=4000, pattern=r"^[^\x00]+$")]
NegativePrompt = Annotated[str, Meta(max_length=4000, pattern=r"^[^\x00]*$")]
MetadataKey = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}$(?!\n)")]
MetadataValue = Annotated[str, Meta(max_length=500, pattern=r"^[^\x00]*$")]
UserId = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[^\x00]+$")]
WebhookUrl = Annotated[str, Meta(max_length=2048, pattern=r"^https?://[^\s\x00@/?#]+([/?#][^\s\x00]*)?$(?!\n)")]
OutputFormat = Literal["png", "jpeg", "webp"]
Timestamp = Annotated[datetime, Meta(tz=True)]
LifetimeSeconds = Annotated[int, Meta(ge=1, le=7 * 24 * 3600)]


class JobInputRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to render. The model's defaults replace absent numbers."""

    prompt: Annotated[Prompt, Meta(description="What the picture shows. No NUL characters.")]
    negative_prompt: Annotated[
        NegativePrompt, Meta(description="What the picture should not show; empty for none. No NUL characters.")
    ] = ""
    num_inference_steps: Annotated[
        Annotated[int, Meta(ge=1, le=1000)] | None,
        Meta(description="Denoising steps, within the model's bounds.", extra={"default": "the model's"}),
    ] = None
    guidance_scale: Annotated[
        Annotated[float, Meta(ge=0, le=100)] | None,
        Meta(
            description="How closely the picture follows the prompt, within the model's bounds.",
            extra={"default": "the model's"},
        ),
    ] = None
    scheduler: Annotated[
        Annotated[str, Meta(max_length=32)] | None,
        Meta(description="One of the model's schedulers.", extra={"default": "the model's first"}),
    ] = None
    width: Annotated[
        Annotated[int, Meta(ge=8, le=8192)] | None,
        Meta(
            description="Pixels, a multiple of the model's `size_multiple` within its bounds.",
            extra={"default": "the model's"},
        ),
    ] = None
    height: Annotated[
        Annotated[int, Meta(ge=8, le=8192)] | None,
        Meta(
            description="Pixels, a multiple of the model's `size_multiple` within its bounds.",
            extra={"default": "the model's"},
        ),
    ] = None
    seed: Annotated[
        Annotated[int, Meta(ge=0, le=MAX_SEED)] | None,
        Meta(
            description="Picture *i* is drawn from `seed` + *i*, modulo 2^32.",
            extra={"default": "random, and shown in the job"},
        ),
    ] = None
    num_images: Annotated[
        int, Meta(ge=1, le=16, description="Number of pictures, at most the model's `max_images`.")
    ] = 1
    output_format: Annotated[OutputFormat, Meta(description="File format of the pictures.")] = "png"
    preview_every: Annotated[
        int,
        Meta(
            ge=0, le=1000, description="Publish a preview for live views after each such number of steps; 0 for none."
        ),
    ] = 0


class JobRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of a submission."""

    input: Annotated[JobInputRequest, Meta(description="What to render.")]
    model: Annotated[
        Annotated[str, Meta(max_length=64)] | None,
        Meta(description="A name from `GET /v1/models`.", extra={"default": "the catalogue's first"}),
    ] = None
    ttl_seconds: Annotated[
        LifetimeSeconds, Meta(description="Bounds the time that the job waits, not the time that it renders.")
    ] = DEFAULT_TTL_SECONDS
    deadline_seconds: Annotated[
        LifetimeSeconds | None,
        Meta(
            description="Bounds the time that the job waits and renders; a render that is finished by then counts.",
            extra={"default": "no bound"},
        ),
    ] = None
    user_id: Annotated[
        UserId | None,
        Meta(
            description="The tenant's own end user, stored with the job. No NUL characters.", extra={"default": "none"}
        ),
    ] = None
    webhook_url: Annotated[
        WebhookUrl | None,
        Meta(description="`http` or `https`, without user info.", extra={"default": "none"}),
    ] = None
    webhook_events: Annotated[
        tuple[WebhookEvent, ...],
        Meta(
            min_length=1,
            max_length=5,
            description="Events to deliver to `webhook_url`.",
            extra={"default": "all but `job.started`"},
        ),
    ] = TERMINAL_EVENTS
    metadata: Annotated[
        dict[MetadataKey, MetadataValue],
        Meta(
            max_length=16,
            description="Strings of at most 500 characters, stored with the job; keys of 1 to 64 letters, digits and"
            " `_.-`.",
            extra={"default": "empty"},
        ),
    ] = {}


class JobInput(msgspec.Struct, frozen=True):
    """What is rendered: every value is settled, the seed included."""

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
    """How far the render of a job is."""

    step: Annotated[int, Meta(description="Steps that are done, of all pictures together.")]
    steps: int
    value: Annotated[float, Meta(description="Between 0 and 1.")]


class Output(msgspec.Struct, frozen=True):
    """A stored picture."""

    index: int
    url: Annotated[str, Meta(description="Presigned. Read the job again for a new one after `url_expires_at`.")]
    url_expires_at: Timestamp
    content_type: str
    width: Annotated[int, Meta(description="Pixels.")]
    height: Annotated[int, Meta(description="Pixels.")]
    size_bytes: int
    sha256: Annotated[str, Meta(description="Hexadecimal digest of the stored file.")]
    seed: int


class JobError(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a job, or its latest attempt, failed.

    `code` and `stage` are read as any string, so that a later version may add one: see JobErrorCode and Stage.
    """

    code: Annotated[str, Meta(description="A stable code, see the table of codes.")]
    message: Annotated[str, Meta(description="The reason, for people.")]
    retryable: Annotated[bool, Meta(description="Whether the same input may succeed in another attempt.")]
    stage: Annotated[
        str | None, Meta(description="Where it failed: `queue`, `claim`, `render`, `store` or `delivery`.")
    ] = None
    step: Annotated[int | None, Meta(description="The last step that was done, if the render had begun.")] = None
    steps: int | None = None


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """How the networks were executed, as far as it changes the last bits of a picture."""

    layout: Annotated[str, Meta(description="Memory layout of UNet and VAE: `contiguous` or `channels_last`.")]
    compiled: Annotated[
        list[str],
        Meta(
            description="Sizes that torch.compile generated code for, such as `512x512`, with ` unguided` for renders"
            " without guidance. All other sizes run without."
        ),
    ]
    cuda_graphs: Annotated[bool, Meta(description="Whether the kernels were replayed from CUDA graphs.")]
    attention: Annotated[str, Meta(description="Attention processors of diffusers.")]
    tf32_convolutions: Annotated[
        bool,
        Meta(
            description="Whether convolutions in single precision multiply in TF32. SDXL's VAE computes in single"
            " precision."
        ),
    ]
    tf32_products: Annotated[bool, Meta(description="The same for matrix products.")]
    cpu_capability: Annotated[
        str, Meta(description="Vector instructions that torch chose. The noise is drawn on the CPU even with a GPU.")
    ]
    cpu_threads: Annotated[int | None, Meta(description="Threads that torch computes with; null on a GPU.")]


class PictureReceipt(msgspec.Struct, frozen=True):
    """The seed and the bytes of a picture."""

    seed: int
    sha256: Annotated[str, Meta(description="Hexadecimal digest of the stored file.")]


class Receipt(msgspec.Struct, frozen=True):
    """What rendered the pictures, so that `darkroom verify` can render them again."""

    model_revision: Annotated[str, Meta(description="Digest of the files that were loaded.")]
    scheduler: str
    dtype: str
    device: str
    versions: Annotated[dict[str, str], Meta(description="Versions of libraries; of CUDA and cuDNN too on a GPU.")]
    manifest_sha256: Annotated[
        str | None, Meta(description="Digest of the model folder's SHA256SUMS; null where it has none.")
    ] = None
    batch_size: Annotated[
        int, Meta(description="Most pictures that were rendered together; a GPU's last bits may depend on it.")
    ] = 1
    tiled: Annotated[
        bool,
        Meta(description="Whether the pictures were decoded in tiles for lack of memory, which changes last bits."),
    ] = False
    vae_dtype: Annotated[
        str | None,
        Meta(description="Widest type that the VAE decoded in: float32 where float16 overflowed."),
    ] = None
    execution: Execution | None = None
    pictures: list[PictureReceipt] = []


class JobMetrics(msgspec.Struct, frozen=True):
    """Durations of the latest attempt."""

    queue_ms: float | None = None
    inference_ms: float | None = None
    store_ms: float | None = None


class JobUrls(msgspec.Struct, frozen=True):
    """Paths of a job's routes."""

    self: str
    cancel: str
    retry: str


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """The public view of a job, which is the same in every response, event and webhook."""

    id: UUID
    status: JobStatus
    version: Annotated[int, Meta(description="Rises with every change of state.")] = 1
    model: str
    input: JobInput
    edits: Annotated[
        dict[str, Any] | None,
        Meta(
            description="Changes that an operator made for a replay: `model` and fields of `input`, which already"
            " include them."
        ),
    ] = None
    created_at: Timestamp
    queued_at: Timestamp
    started_at: Timestamp | None = None
    completed_at: Timestamp | None = None
    expires_at: Timestamp
    deadline_at: Timestamp | None = None
    queue_position: Annotated[
        int | None,
        Meta(
            description="Number of the model's jobs that wait before this one; exact up to 1,000 and a few seconds old"
            " beyond. Null unless queued."
        ),
    ] = None
    estimated_start_at: Timestamp | None = None
    attempt: int = 0
    max_attempts: int
    generation: Annotated[int, Meta(description="Rises with every replay.")] = 1
    next_attempt_at: Timestamp | None = None
    worker_session: Annotated[
        UUID | None,
        Meta(
            description="Session of the worker that ran the latest attempt; operators find worker, GPU and versions by"
            " it."
        ),
    ] = None
    progress: JobProgress | None = None
    outputs: list[Output] = []
    outputs_removed_at: Annotated[
        Timestamp | None,
        Meta(
            description="When the pictures were removed because of their age; `outputs` is then empty, and the receipt"
            " stays."
        ),
    ] = None
    error: JobError | None = None
    dead_lettered: bool = False
    receipt: Receipt | None = None
    metrics: JobMetrics = JobMetrics()
    metadata: dict[str, str] = {}
    user_id: str | None = None
    retried_from: UUID | None = None
    urls: JobUrls


class WholeNumberRange(msgspec.Struct, frozen=True):
    """An inclusive range of whole numbers, with the value that replaces an absent one."""

    minimum: int
    maximum: int
    default: int


class NumberRange(msgspec.Struct, frozen=True):
    """An inclusive range, with the value that replaces an absent one."""

    minimum: float
    maximum: float
    default: float


class AllowedSize(msgspec.Struct, frozen=True):
    """Width and height in pixels."""

    width: int
    height: int


class ModelView(msgspec.Struct, frozen=True, kw_only=True):
    """A model of the catalogue. Ranges have the names of the input's fields."""

    name: str
    description: str
    default: Annotated[bool, Meta(description="Whether it renders jobs that name no model.")]
    schedulers: Annotated[tuple[str, ...], Meta(description="The default first.")]
    width: Annotated[WholeNumberRange, Meta(description="Pixels, in multiples of `size_multiple`.")]
    height: Annotated[WholeNumberRange, Meta(description="Pixels, in multiples of `size_multiple`.")]
    size_multiple: int
    num_inference_steps: WholeNumberRange
    guidance_scale: NumberRange
    max_images: int
    max_cost: Annotated[int, Meta(description="Bound on width x height x steps x images.")]
    pipeline: Annotated[
        str, Meta(description="Class of diffusers: StableDiffusionPipeline or StableDiffusionXLPipeline.")
    ]
    sizes: Annotated[
        list[AllowedSize],
        Meta(description="The only allowed sizes; empty where `width` and `height` alone decide."),
    ]
    safety_checker: Annotated[
        bool, Meta(description="Whether the model's safety checker may fail a job because of its pictures.")
    ]


class ModelList(msgspec.Struct, frozen=True):
    """The models that jobs can name."""

    models: list[ModelView]


class CancelReply(msgspec.Struct, frozen=True):
    """A job after a request to cancel it."""

    id: UUID
    status: Annotated[
        JobStatus,
        Meta(
            description="`running` until the worker has stopped the render, within a step; a render that is finished by"
            " then may win."
        ),
    ]
    cancel_requested_at: Timestamp | None = None


class Liveness(msgspec.Struct, frozen=True):
    """Body of /healthz."""

    status: Literal["alive"] = "alive"


class Readiness(msgspec.Struct, frozen=True):
    """Body of /readyz."""

    ready: bool
    checks: Annotated[dict[str, str], Meta(description="`ok` or the reason for each check.")]


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """Problem details, RFC 9457. `code` is read as any string, so that a later version may add one: see ApiError."""

    type: str
    title: str
    status: int
    code: Annotated[str, Meta(description="A stable code, see the table of codes.")]
    detail: Annotated[str | UnsetType, Meta(description="What happened and what to do, for people.")] = UNSET
    field: Annotated[str | UnsetType, Meta(description="Path of the wrong field, such as `input.width`.")] = UNSET


class Scope(StrEnum):
    """What an API key allows. An operator's key allows all that a client's does."""

    CLIENT = "client"
    OPERATOR = "operator"


encode = msgspec.json.Encoder().encode
"""The encoder of every body, event and webhook of the API."""
