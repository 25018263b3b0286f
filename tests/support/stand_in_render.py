"""`python -m tests.support.stand_in_render FD`: a render process without PyTorch, where pictures are not the point.

The process, its commands, its signals and its look at the model's folder are the product's own; what stands in is the
pipeline: it waits where a model would compute, and its pictures are noise that depends on the input alone. It knows the
schedulers that make one step for each that is asked for, and breaks where a prompt of render_faults says so.
tests/integration/gpu_consumer/test_render_process.py runs against it and against the real thing.
"""

import hashlib
import io
import os
import socket
import time
from collections.abc import Callable
from threading import Event

import msgspec
from PIL import Image

from darkroom_contracts.api import MAX_SEED, Execution, JobInput
from darkroom_contracts.errors import JobErrorCode
from gpu_consumer import protocol
from gpu_consumer.render import child
from gpu_consumer.render.__main__ import main
from gpu_consumer.startup import DeviceMissingError
from tests.support.render_faults import WORKER_FAULT, process_fault

STEP_SECONDS = 0.02
"""What the tiny model takes for 64x64 on a quiet core."""
DECODE_SECONDS = 0.01
SCHEDULERS = ("ddim", "euler")
LATENT_PIXELS = 8
MOST_STEPS = 1000
EXECUTION = Execution(
    layout="contiguous",
    compiled=[],
    cuda_graphs=False,
    attention="none",
    tf32_convolutions=False,
    tf32_products=False,
    cpu_capability="none",
    cpu_threads=1,
)
VERSIONS = dict.fromkeys(("darkroom", "torch", "diffusers", "transformers"), "stand-in")
MEMORY_BYTES = 100 << 20

Report = Callable[[protocol.Progressed], None]


class _AbortedError(Exception):
    """The service asked for an end."""


class Rendering:
    """One request on its way."""

    def __init__(self, wanted: JobInput, report: Report, abort: Event) -> None:
        self._wanted = wanted
        self._report = report
        self._abort = abort
        self.steps = 0

    def run(self) -> None:
        """Report every step, preview and picture. Raises _AbortedError."""
        total = self._wanted.num_images * self._wanted.num_inference_steps
        while self.steps < total:
            self._pass(STEP_SECONDS)
            self.steps += 1
            self._report(protocol.Step(self.steps, total))
            if self._shows():
                self._report(self._preview())
        if fault := process_fault(self._wanted):
            fault()
        for index in range(self._wanted.num_images):
            self._pass(DECODE_SECONDS)
            self._report(self._picture(index))
        self._pass(0)

    def _pass(self, seconds: float) -> None:
        if self._abort.wait(seconds):
            raise _AbortedError

    def _shows(self) -> bool:
        """Tell whether a preview of the first picture is due: its last step needs none."""
        every = self._wanted.preview_every
        return bool(every) and self.steps % every == 0 and self.steps < self._wanted.num_inference_steps

    def _preview(self) -> protocol.Preview:
        size = (self._wanted.width // LATENT_PIXELS, self._wanted.height // LATENT_PIXELS)
        file = io.BytesIO()
        Image.frombytes("RGB", size, _noise(size, str(self.steps))).save(file, "png")
        return protocol.Preview(self.steps, *size, file.getvalue())

    def _picture(self, index: int) -> protocol.Picture:
        size, seed = (self._wanted.width, self._wanted.height), (self._wanted.seed + index) % (MAX_SEED + 1)
        drawn = msgspec.structs.replace(self._wanted, seed=seed, num_images=1, preview_every=None)
        image = protocol.RenderedImage(*size, seed, _noise(size, repr(drawn)))
        return protocol.Picture(index=index, image=image, batch_size=1, tiled=False, vae_dtype="float32")


class Pipeline:
    """In the place of gpu_consumer.render.pipeline.Pipeline."""

    def render(self, request: protocol.RenderRequest, report: Report, abort: Event) -> protocol.Outcome:
        if reason := _refusal(request.input):
            return protocol.RenderFailed(JobErrorCode.INPUT_NOT_RENDERABLE, reason, protocol.FailureKind.PERMANENT)
        if failed := _failure_of_worker(request.input):
            return failed
        started = time.perf_counter()
        rendering = Rendering(request.input, report, abort)
        try:
            rendering.run()
        except _AbortedError:
            return protocol.Aborted(rendering.steps)
        seconds = time.perf_counter() - started
        return protocol.Rendered(
            batch_size=1,
            inference_ms=1000 * seconds,
            phases=protocol.Phases(seconds, 0),
            steps=rendering.steps,
            peak_memory_bytes=MEMORY_BYTES,
            tiled=False,
            vae_dtype="float32",
        )


def _refusal(wanted: JobInput) -> str | None:
    if wanted.scheduler not in SCHEDULERS:
        return f"Unknown scheduler {wanted.scheduler!r}."
    if wanted.num_images < 1 or not 1 <= wanted.num_inference_steps <= MOST_STEPS:
        return f"num_images must be at least 1, and num_inference_steps between 1 and {MOST_STEPS}."
    if any(side < LATENT_PIXELS or side % LATENT_PIXELS for side in (wanted.width, wanted.height)):
        return f"Width and height must be multiples of {LATENT_PIXELS} pixels."
    return None


def _failure_of_worker(wanted: JobInput) -> protocol.RenderFailed | None:
    """Return the failure of all renders of this process, in the product's own words."""
    match os.environ.get(WORKER_FAULT):
        case JobErrorCode.OUT_OF_MEMORY:
            size = f"{wanted.width}x{wanted.height}, 1 picture, decoded in tiles"
            message = f"{size}, did not fit in the 0.1 GiB of this machine."
            return protocol.RenderFailed(JobErrorCode.OUT_OF_MEMORY, message, protocol.FailureKind.TRANSIENT)
        case JobErrorCode.NON_FINITE_OUTPUT:
            message = "The model produced numbers that are not finite."
            return protocol.RenderFailed(JobErrorCode.NON_FINITE_OUTPUT, message, protocol.FailureKind.PERMANENT)
    return None


def _noise(size: tuple[int, int], key: str) -> bytes:
    return hashlib.shake_128(key.encode()).digest(3 * size[0] * size[1])


def open_stand_in(load: protocol.Load, connection: socket.socket) -> Pipeline:
    """In the place of gpu_consumer.render.child's own: look at the folder as it does, and load nothing."""
    started = time.perf_counter()
    folder = child.inspect(load)
    if load.device != "cpu":
        raise DeviceMissingError("The stand-in renders on no device.")
    ready = protocol.Ready(
        device=load.device,
        dtype=load.dtype,
        model_revision=folder.revision,
        manifest_sha256=folder.manifest_sha256,
        versions=VERSIONS,
        execution=EXECUTION,
        load_seconds=time.perf_counter() - started,
        warmup_seconds=STEP_SECONDS,
        memory_bytes=MEMORY_BYTES,
    )
    connection.sendall(protocol.encode(ready))
    return Pipeline()


if __name__ == "__main__":
    child._open = open_stand_in  # type: ignore[assignment]  # `serve` needs of a pipeline nothing but `render`
    main()
