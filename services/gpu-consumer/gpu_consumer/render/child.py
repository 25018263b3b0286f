"""The render process: loads one model, then renders what it is told, one request at a time.

The main thread renders; a second one reads commands, so that an abort is seen during a render and the death of the
service at any time. torch is imported only once the model's folder has been looked over: a wrong folder is refused
in a fraction of a second.
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
    """A render that was asked for, and the means to stop it, begun or not."""

    request: protocol.RenderRequest
    abort: threading.Event


def serve(connection: socket.socket) -> ExitCode:
    """Load, then render until the process is ended. Returns only when it can't go on."""
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
    """Load and warm up, and tell the service. Raises StartupError."""
    started = time.perf_counter()
    folder = model_folder.inspect(
        Path(load.folder),
        prefer_half=load.dtype == "float16",
        pipeline=load.pipeline,
        manifest_sha256=load.manifest_sha256,
        safety_checker=load.safety_checker,
    )
    from gpu_consumer.render import device, execution, memory, pipeline, warmup

    device.limit_threads(load.cpu_threads)
    device.demand_determinism()
    device_name = device.confirm(load.device)
    opened = pipeline.Pipeline.load(folder, load, device_name)
    loaded = time.perf_counter()
    warmup.warm_up(opened, load)
    memory.settle()
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


def _render(pipeline: Pipeline, order: Order, connection: socket.socket) -> bool:
    """Render and answer; False when this process can render no more."""

    def report(progressed: Progressed) -> None:
        _send(connection, progressed)

    outcome = pipeline.render(order.request, report, order.abort)
    _send(connection, outcome)
    return not (isinstance(outcome, protocol.RenderFailed) and outcome.kind == "fatal")


def _read_commands(connection: socket.socket, orders: queue.SimpleQueue[Order]) -> None:
    """Runs until the service closes the connection or dies, which ends this process whatever it is doing."""
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
        os.write(2, f"The connection to the service is lost: {error}\n".encode())
        os._exit(ExitCode.RENDER_PROCESS)


def _send(connection: socket.socket, event: protocol.Event) -> None:
    connection.sendall(protocol.encode(event))


def _receive(connection: socket.socket) -> bytes:
    """The next frame's body. Raises EOFError when the service has gone."""
    return _exactly(connection, protocol.body_length(_exactly(connection, protocol.HEADER_BYTES)))


def _exactly(connection: socket.socket, count: int) -> bytes:
    received = bytearray()
    while len(received) < count:
        chunk = connection.recv(min(count - len(received), 1 << 20))
        if not chunk:
            raise EOFError
        received += chunk
    return bytes(received)
