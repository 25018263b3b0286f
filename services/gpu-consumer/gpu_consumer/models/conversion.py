"""The parent's side of a conversion, which runs in a child process so that a crash becomes an error message.

The child, `python -m gpu_consumer.render.convert`, reads one Conversion from standard input, as a line of JSON, and
writes one line per event to standard output. It exits at the end of its input, and so with this process.
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
from gpu_consumer.renderer.environment import child_environment
from gpu_consumer.renderer.host_memory import KillCount
from gpu_consumer.renderer.loss import loss_by_exit
from gpu_consumer.startup import RenderProcessFailedError, StartupCode, startup_error

PROGRAM = "gpu_consumer.render.convert"
_LINE_BYTES = 4096


class Conversion(msgspec.Struct, frozen=True, kw_only=True):
    """A conversion to run."""

    checkpoint: str
    """Absolute path of a safetensors file."""
    folder: str
    """Absolute path of a model folder without weights, which the conversion adds."""
    pipeline: PipelineClass
    prefixes: dict[str, str]
    """Part with weights -> prefix of its tensors' names in the checkpoint."""
    dtype: Dtype
    """Dtype of the written weights."""


class Began(msgspec.Struct, frozen=True, tag=True):
    """A step of the conversion has begun."""

    step: str
    """For people, such as `converting the unet`."""


class Converted(msgspec.Struct, frozen=True, tag=True):
    """The folder is complete, and its pipeline was loaded once."""

    revision: str
    manifest_sha256: str


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The checkpoint can't be converted."""

    code: StartupCode
    message: str


Event = Began | Converted | Failed
_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def convert(conversion: Conversion, report: Callable[[str], None]) -> Converted:
    """Convert in a child process, report each step, and return the result. Raises StartupError."""
    with tempfile.TemporaryFile() as errors, _child(conversion, errors) as child:
        assert child.stdout is not None  # a pipe, see _child
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
        raise RenderProcessFailedError(f"The conversion process died ({loss.reason}){_last_line(errors)}.")


def _decode(line: bytes) -> Event:
    try:
        return _decoder.decode(line)
    except msgspec.DecodeError as error:
        received = line.decode(errors="replace").strip()[:200]
        raise RenderProcessFailedError(f"The conversion process sent an invalid event: {received!r}.") from error


@contextmanager
def _child(conversion: Conversion, errors: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Run the child within the context, in a session of its own: on Ctrl-C this process ends the child."""
    child = subprocess.Popen(
        (sys.executable, "-P", "-m", PROGRAM),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        start_new_session=True,
        env=child_environment(CUDA_VISIBLE_DEVICES=""),  # no GPU memory is taken from a worker
    )
    try:
        assert child.stdin is not None  # a pipe, see above
        with suppress(BrokenPipeError):  # the child died already, which the end of its output shows
            child.stdin.write(msgspec.json.encode(conversion) + b"\n")
            child.stdin.flush()
        yield child
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.communicate()


def _last_line(errors: IO[bytes]) -> str:
    errors.seek(max(0, errors.seek(0, os.SEEK_END) - _LINE_BYTES))
    lines = errors.read().decode(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), None)
    return f"; its last output: {last.rstrip('.')}" if last else ""
