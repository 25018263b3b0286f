"""The protocol between the service and its render process.

The service sends `Load` once and is answered `Ready` or `StartupFailed`. Then, one at a time, it sends
`RenderRequest` and receives a `Step` per step, a `Preview` after some of them where it asked for that, a `Picture` for
each picture as soon as it is decoded, and exactly one of `Rendered`, `Aborted`, `RenderFailed`; the pictures count only
when it is `Rendered`. `Abort` may come at any moment; with nothing to abort it means nothing. End of file is the end of
the render process: closing the socket stops it, and so does the death of the service.

One frame is a length of four bytes, big-endian, and that many bytes of MessagePack.
"""

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
FailureKind = Literal["transient", "permanent", "fatal"]


class Size(msgspec.Struct, frozen=True):
    """Of one picture, in pixels."""

    width: int
    height: int


class Load(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Load a model and warm it up."""

    folder: str
    """Absolute path of a folder in diffusers' layout."""
    pipeline: PipelineClass
    """The class that the folder must hold."""
    manifest_sha256: str | None
    """What the folder's manifest must hash to; None takes whatever manifest is there."""
    device: Device
    """`cpu` only when a person said so: it is never fallen back to."""
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
    """What it runs on: a GPU's name, or `cpu`."""
    dtype: Dtype
    model_revision: str
    """Digest of the files that were loaded, `sha256:` and 16 hexadecimal digits."""
    manifest_sha256: str | None
    """Of the folder's manifest; None where there is none."""
    versions: dict[str, str]
    """Library -> version, of those that shape a picture."""
    execution: Execution
    load_seconds: float
    """Import of the libraries included."""
    warmup_seconds: float
    memory_bytes: int
    """Held by the warm model between jobs: allocated on the GPU, or the process's resident set on the CPU."""
    failed_captures: int = 0
    """CUDA graphs that could not be captured; their shapes are rendered without."""


class StartupFailed(msgspec.Struct, frozen=True, tag=True):
    """The model can't be served; the process exits."""

    code: StartupCode
    message: str


class Step(msgspec.Struct, frozen=True, tag=True):
    """`step` of `steps` is done. `steps` counts the scheduler's own, which may differ from what was asked for."""

    step: int
    steps: int


class Preview(msgspec.Struct, frozen=True, tag=True):
    """How the first picture looks after `step` steps, as a PNG about an eighth as wide as the picture."""

    step: int
    width: int
    height: int
    png: bytes


class RenderedImage(msgspec.Struct, frozen=True):
    """One picture as raw RGB, rows from the top, three bytes a pixel."""

    width: int
    height: int
    seed: int
    rgb: bytes


class Picture(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A picture of the request, decoded and past the safety checker. They come in order."""

    index: int
    """From 0."""
    image: RenderedImage
    batch_size: int
    """Pictures that it was denoised together with, itself included."""
    tiled: bool
    """It did not fit whole and was decoded in tiles."""
    vae_dtype: Dtype
    """What the VAE decoded it in: float32 too where float16 overflowed."""


class Phases(msgspec.Struct, frozen=True):
    """Where the time of a render went, in seconds."""

    denoise: float
    """Encoding of the prompt included."""
    decode: float


class Rendered(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """All pictures of the request have been sent."""

    batch_size: int
    """Pictures denoised together, at most."""
    inference_ms: float
    phases: Phases
    steps: int
    """That the scheduler made, all batches together."""
    peak_memory_bytes: int
    """As Ready.memory_bytes, at its highest during this render."""
    tiled: bool
    """At least one picture was decoded in tiles."""
    vae_dtype: Dtype
    """What the VAE decoded in; the widest where pictures differ."""


class Aborted(msgspec.Struct, frozen=True, tag=True):
    """The render stopped after `step` steps because it was told to."""

    step: int


class RenderFailed(msgspec.Struct, frozen=True, tag=True):
    """The render failed. `transient`: may succeed later; `permanent`: never will; `fatal`: this process is lost."""

    code: JobErrorCode
    message: str
    kind: FailureKind


Command = Load | RenderRequest | Abort
Progressed = Step | Preview | Picture
Outcome = Rendered | Aborted | RenderFailed
Event = Ready | StartupFailed | Progressed | Outcome


class ProtocolError(Exception):
    """What came over the socket is not this protocol."""


_encoder = msgspec.msgpack.Encoder()
_command_decoder: msgspec.msgpack.Decoder[Command] = msgspec.msgpack.Decoder(Command)
_event_decoder: msgspec.msgpack.Decoder[Event] = msgspec.msgpack.Decoder(Event)


def encode(message: Command | Event) -> bytes:
    """The message as one frame. Raises ProtocolError when it would be too large."""
    body = _encoder.encode(message)
    return _checked(len(body)).to_bytes(HEADER_BYTES, "big") + body


def body_length(header: bytes) -> int:
    """How many bytes follow a frame's header. Raises ProtocolError when they would be too many."""
    return _checked(int.from_bytes(header, "big"))


def decode_command(body: bytes) -> Command:
    """Raises ProtocolError."""
    try:
        return _command_decoder.decode(body)
    except msgspec.DecodeError as error:
        raise ProtocolError(f"The command can't be read: {error}.") from error


def decode_event(body: bytes) -> Event:
    """Raises ProtocolError."""
    try:
        return _event_decoder.decode(body)
    except msgspec.DecodeError as error:
        raise ProtocolError(f"The event can't be read: {error}.") from error


def _checked(length: int) -> int:
    if length > MAX_FRAME_BYTES:
        raise ProtocolError(f"A frame of {length} bytes is larger than {MAX_FRAME_BYTES}.")
    return length
