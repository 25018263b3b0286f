"""What a job is asked to render, and when it must be done: the body of a submission."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

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
        Meta(
            description="`https`, without user info, at a public address. The operator may allow other hosts, over"
            " `http` too.",
            extra={"default": "none"},
        ),
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
