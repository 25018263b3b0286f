"""The protocol between the service and its render process. Imports no torch.

The service sends `Load` once and is answered `Ready` or `StartupFailed`. Then, one at a time, it sends
`RenderRequest` and receives a `Step` per step, a `Preview` after some steps if it asked for previews, a `Picture` for
each picture as soon as it is decoded, and exactly one of `Rendered`, `Aborted`, `RenderFailed`; the pictures count only
after `Rendered`. `Abort` may come at any moment; without a render it is ignored. The render process exits at the end of
the stream: closing the socket stops it, and so does the death of the service.

One frame is a length of four bytes, big-endian, and that many bytes of MessagePack.
"""

from enum import StrEnum
from typing import Literal

import msgspec

from darkroom_contracts.api import Execution, JobInput
from darkroom_contracts.errors import JobErrorCode
from darkroom_contracts.models import Dtype, PipelineClass
from gpu_consumer.startup import StartupCode

HEADER_BYTES = 4
MAX_FRAME_BYTES = 256 * 1024 * 1024
MAX_PIXEL_BYTES = MAX_FRAME_BYTES - 1024 * 1024
"""Bound on width x height x 3 of one picture, so that it fits a frame."""

Device = Literal["cuda", "cpu"]


class FailureKind(StrEnum):
    """What a failed render means for the job and for the process."""

    TRANSIENT = "transient"
    """The render may succeed later."""
    PERMANENT = "permanent"
    """The render would fail again."""
    FATAL = "fatal"
    """The render process is lost."""


class Size(msgspec.Struct, frozen=True):
    """The size of one picture, in pixels."""

    width: int
    height: int


class Load(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Load a model and warm it up."""

    folder: str
    """Absolute path of a model folder in diffusers' layout."""
    pipeline: PipelineClass
    """The pipeline class that the folder must contain."""
    manifest_sha256: str | None
    """Expected sha256 of the folder's manifest; None accepts any manifest."""
    device: Device
    """`cpu` only if it was configured: it is never a fallback."""
    dtype: Dtype
    safety_checker: bool
    """Load the model's own safety checker and run it on every picture."""
    scheduler: str
    """The scheduler of the warm-up renders."""
    guidance_scale: float
    """The model's default: the guidance of the warm-up renders."""
    sizes: tuple[Size, ...]
    """Each is rendered once, decode included, before the first job."""
    channels_last: bool
    """Keep UNet and VAE in the memory layout that tensor cores read fastest."""
    compile: bool
    """Compile UNet and VAE decoder with torch.compile: a slow start, then faster steps."""
    cuda_graphs: bool
    """Capture UNet and VAE decoder as CUDA graphs in the warm-up. Not together with `compile`."""
    cpu_threads: int
    """Threads torch may compute with on the CPU."""


class RenderRequest(msgspec.Struct, frozen=True, tag=True):
    """Render a job's input. Image i is drawn from seed + i, modulo 2^32."""

    input: JobInput
    frugal: bool = False
    """After a lack of memory: one picture at a time, decoded in tiles."""


class Abort(msgspec.Struct, frozen=True, tag=True):
    """Stop the render that was requested last, within one step."""


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The model is loaded and warm."""

    device: str
    """The GPU's name, or `cpu`."""
    dtype: Dtype
    model_revision: str
    """Digest of the loaded files, `sha256:` and 16 hexadecimal digits."""
    manifest_sha256: str | None
    """sha256 of the folder's manifest; None without one."""
    versions: dict[str, str]
    """Versions by library, of the libraries that affect pixels."""
    execution: Execution
    load_seconds: float
    """Includes the import of the libraries."""
    warmup_seconds: float
    memory_bytes: int
    """Held by the warm model between jobs: allocated on the GPU, or the process's resident set on the CPU."""
    failed_captures: int = 0
    """CUDA graphs that could not be captured; their sizes are rendered without them."""


class StartupFailed(msgspec.Struct, frozen=True, tag=True):
    """The model can't be served; the process exits."""

    code: StartupCode
    message: str


class Step(msgspec.Struct, frozen=True, tag=True):
    """`step` of `steps` is done. `steps` is the scheduler's count, which may differ from the number requested."""

    step: int
    steps: int


class Preview(msgspec.Struct, frozen=True, tag=True):
    """The first picture after `step` steps, as a PNG about an eighth as wide as the picture."""

    step: int
    width: int
    height: int
    png: bytes


class RenderedImage(msgspec.Struct, frozen=True):
    """One picture as raw RGB: rows from the top, three bytes a pixel."""

    width: int
    height: int
    seed: int
    rgb: bytes


class Picture(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A picture of the request, decoded and accepted by the safety checker. Pictures arrive in order."""

    index: int
    """Position in the request, from 0."""
    image: RenderedImage
    batch_size: int
    """Pictures denoised in its batch, itself included."""
    tiled: bool
    """It did not fit into memory whole and was decoded in tiles."""
    vae_dtype: Dtype
    """The VAE's precision: float32 if float16 overflowed."""


class Phases(msgspec.Struct, frozen=True):
    """Duration of each phase of a render, in seconds."""

    denoise: float
    """Includes encoding the prompt."""
    decode: float


class Rendered(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """All pictures of the request have been sent."""

    batch_size: int
    """Pictures in the largest batch."""
    inference_ms: float
    phases: Phases
    steps: int
    """Steps of the scheduler, summed over the batches."""
    peak_memory_bytes: int
    """The maximum of Ready.memory_bytes during this render."""
    tiled: bool
    """At least one picture was decoded in tiles."""
    vae_dtype: Dtype
    """The VAE's precision; the widest if pictures differ."""


class Aborted(msgspec.Struct, frozen=True, tag=True):
    """The render was stopped by `Abort` after `step` steps."""

    step: int


class RenderFailed(msgspec.Struct, frozen=True, tag=True):
    """The render failed."""

    code: JobErrorCode
    message: str
    kind: FailureKind


Command = Load | RenderRequest | Abort
Progressed = Step | Preview | Picture
Outcome = Rendered | Aborted | RenderFailed
Event = Ready | StartupFailed | Progressed | Outcome


class ProtocolError(Exception):
    """The other side broke the protocol."""


_encoder = msgspec.msgpack.Encoder()
_command_decoder: msgspec.msgpack.Decoder[Command] = msgspec.msgpack.Decoder(Command)
_event_decoder: msgspec.msgpack.Decoder[Event] = msgspec.msgpack.Decoder(Event)


def encode(message: Command | Event) -> bytes:
    """Encode the message as one frame. Raises ProtocolError when it would be too large."""
    body = _encoder.encode(message)
    return _checked(len(body)).to_bytes(HEADER_BYTES, "big") + body


def body_length(header: bytes) -> int:
    """Return the number of bytes that follow a frame's header. Raises ProtocolError when it is too large."""
    return _checked(int.from_bytes(header, "big"))


def decode_command(body: bytes) -> Command:
    """Decode the body of a frame to the render process. Raises ProtocolError."""
    try:
        return _command_decoder.decode(body)
    except msgspec.DecodeError as error:
        raise ProtocolError(f"The command can't be decoded: {error}.") from error


def decode_event(body: bytes) -> Event:
    """Decode the body of a frame from the render process. Raises ProtocolError."""
    try:
        return _event_decoder.decode(body)
    except msgspec.DecodeError as error:
        raise ProtocolError(f"The event can't be decoded: {error}.") from error


def _checked(length: int) -> int:
    if length > MAX_FRAME_BYTES:
        raise ProtocolError(f"A frame of {length} bytes is larger than {MAX_FRAME_BYTES}.")
    return length
