"""The parent's side of a conversion: a child process does it, so that a crash or a lack of memory is a message.

The child, `python -m gpu_consumer.render.convert`, reads one Conversion from its standard input, a line of JSON, and
writes a line for each event to its standard output. The end of its input is the end of the process: it dies with this
one.
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO

import msgspec

from darkroom_contracts.models import Dtype, PipelineClass
from gpu_consumer.renderer.host_memory import KillCount
from gpu_consumer.renderer.loss import loss_by_exit
from gpu_consumer.startup import RenderProcessFailedError, StartupCode, startup_error

PROGRAM = "gpu_consumer.render.convert"
_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
    "CUDA_VISIBLE_DEVICES": "",  # a GPU that renders keeps its memory
}
_LINE_BYTES = 4096


class Conversion(msgspec.Struct, frozen=True, kw_only=True):
    """What to convert, and where to."""

    checkpoint: str
    """Absolute path of a safetensors file."""
    folder: str
    """Absolute path of a model folder that holds everything but weights; they are written into it."""
    pipeline: PipelineClass
    prefixes: dict[str, str]
    """For each part with weights, how the names of its tensors begin in the checkpoint."""
    dtype: Dtype
    """What the weights are written in."""


class Began(msgspec.Struct, frozen=True, tag=True):
    """A step of the conversion has begun."""

    step: str
    """For people, such as `converting the unet`."""


class Converted(msgspec.Struct, frozen=True, tag=True):
    """The folder is whole, and its pipeline was loaded once."""

    revision: str
    manifest_sha256: str


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The checkpoint can't be converted."""

    code: StartupCode
    message: str


Event = Began | Converted | Failed
_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def convert(conversion: Conversion, report: Callable[[str], None]) -> Converted:
    """Convert in a child process and report each step. Raises StartupError."""
    with tempfile.TemporaryFile() as errors, _child(conversion, errors) as child:
        assert child.stdout is not None  # asked for in _child
        kills = KillCount(child.pid)
        for line in child.stdout:
            match _decode(line):
                case Began(step):
                    report(step)
                case Converted() as converted:
                    return converted
                case Failed(code, message):
                    raise startup_error(code, message)
        loss = loss_by_exit(child.wait(), host_out_of_memory=kills.rose())
        raise RenderProcessFailedError(f"The conversion died ({loss.reason}){_last_words(errors)}.")


def _decode(line: bytes) -> Event:
    try:
        return _decoder.decode(line)
    except msgspec.DecodeError as error:
        said = line.decode(errors="replace").strip()[:200]
        raise RenderProcessFailedError(f"The conversion said something that is not an event: {said!r}.") from error


@contextmanager
def _child(conversion: Conversion, errors: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """In a session of its own: a Ctrl-C at the terminal is for this process, which ends the child."""
    child = subprocess.Popen(
        (sys.executable, "-P", "-m", PROGRAM),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        start_new_session=True,
        env=_environment(),
    )
    try:
        assert child.stdin is not None  # asked for above
        with suppress(BrokenPipeError):  # it died already: the end of its output says so
            child.stdin.write(msgspec.json.encode(conversion) + b"\n")
            child.stdin.flush()
        yield child
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.communicate()


def _environment() -> dict[str, str]:
    """Without this command's settings, which the child has no need of."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DARKROOM_")}
    return inherited | _ENVIRONMENT


def _last_words(errors: IO[bytes]) -> str:
    errors.seek(max(0, errors.seek(0, os.SEEK_END) - _LINE_BYTES))
    lines = errors.read().decode(errors="replace").split("\n")
    words = next((line.strip() for line in reversed(lines) if line.strip()), None)
    return f"; its last words: {words.rstrip('.')}" if words else ""
