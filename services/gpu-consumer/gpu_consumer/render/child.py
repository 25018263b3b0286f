"""The render process's main loop: load one model, then render one request at a time.

The main thread renders. A second thread reads commands, so that an abort is seen during a render, and the end of the
service at any time. torch is imported only after the model folder has passed its checks, so an invalid folder is
refused within a fraction of a second.
"""

from __future__ import annotations

import os
import queue
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from gpu_consumer import protocol
from gpu_consumer.models import model_folder
from gpu_consumer.startup import ExitCode, StartupError

if TYPE_CHECKING:
    from gpu_consumer.render.pipeline import Pipeline
    from gpu_consumer.render.progress import Progressed


class Order(msgspec.Struct, frozen=True):
    """A requested render and the event that aborts it, before or after it began."""

    request: protocol.RenderRequest
    abort: threading.Event


def serve(connection: socket.socket) -> ExitCode:
    """Load the model, then render until the process is ended.

    Returns the exit code when the model is refused or the process can't render any more.
    """
    load = protocol.decode_command(_receive(connection))
    if not isinstance(load, protocol.Load):
        raise protocol.ProtocolError(f"Expected Load first, not {type(load).__name__}.")
    orders: queue.SimpleQueue[Order] = queue.SimpleQueue()
    threading.Thread(target=_read_commands, args=(connection, orders), name="commands", daemon=True).start()
    try:
        pipeline = _open(load, connection)
    except StartupError as refusal:
        _send(connection, protocol.StartupFailed(refusal.code, refusal.message))
        return refusal.exit_code
    while _render(pipeline, orders.get(), connection):
        pass
    return ExitCode.RENDER_PROCESS


def _open(load: protocol.Load, connection: socket.socket) -> Pipeline:
    """Load the model, warm it up and send `Ready`. Raises StartupError."""
    started = time.perf_counter()
    folder = inspect(load)
    from gpu_consumer.render import device, execution, memory, pipeline, warmup

    device.limit_threads(load.cpu_threads)
    device.require_determinism()
    device_name = device.confirm(load.device)
    opened = pipeline.Pipeline.load(folder, load, device_name)
    loaded = time.perf_counter()
    warmup.warm_up(opened, load)
    memory.freeze_objects()
    ready = protocol.Ready(
        device=device_name,
        dtype=opened.dtype,
        model_revision=folder.revision,
        manifest_sha256=folder.manifest_sha256,
        versions=execution.versions(load.device),
        execution=opened.execution,
        load_seconds=loaded - started,
        warmup_seconds=time.perf_counter() - loaded,
        memory_bytes=memory.held(load.device),
        failed_captures=opened.engines.failed_captures,
    )
    _send(connection, ready)
    return opened


def inspect(load: protocol.Load) -> model_folder.ModelFolder:
    """Check the model's folder, and choose its weights. Raises StartupError."""
    return model_folder.inspect(
        Path(load.folder),
        prefer_half=load.dtype == "float16",
        pipeline=load.pipeline,
        manifest_sha256=load.manifest_sha256,
        safety_checker=load.safety_checker,
    )


def _render(pipeline: Pipeline, order: Order, connection: socket.socket) -> bool:
    """Render, and send the events and the outcome. Return False when this process can't render any more."""

    def report(progressed: Progressed) -> None:
        _send(connection, progressed)

    outcome = pipeline.render(order.request, report, order.abort)
    _send(connection, outcome)
    return not (isinstance(outcome, protocol.RenderFailed) and outcome.kind is protocol.FailureKind.FATAL)


def _read_commands(connection: socket.socket, orders: queue.SimpleQueue[Order]) -> None:
    """Read commands until the connection ends, then exit this process, whatever the main thread is doing."""
    abort = threading.Event()
    try:
        while True:
            command = protocol.decode_command(_receive(connection))
            if isinstance(command, protocol.RenderRequest):
                abort = threading.Event()
                orders.put(Order(command, abort))
            elif isinstance(command, protocol.Abort):
                abort.set()
    except EOFError:
        os._exit(0)
    except (OSError, protocol.ProtocolError) as error:
        os.write(2, f"The connection to the service was lost: {error}\n".encode())
        os._exit(ExitCode.RENDER_PROCESS)


def _send(connection: socket.socket, event: protocol.Event) -> None:
    connection.sendall(protocol.encode(event))


def _receive(connection: socket.socket) -> bytes:
    """Receive the body of the next frame. Raises EOFError when the service closed the connection."""
    return _exactly(connection, protocol.body_length(_exactly(connection, protocol.HEADER_BYTES)))


def _exactly(connection: socket.socket, count: int) -> bytes:
    received = bytearray()
    while len(received) < count:
        chunk = connection.recv(min(count - len(received), 1 << 20))
        if not chunk:
            raise EOFError
        received += chunk
    return bytes(received)
