"""One render process and the socket to it. `RenderProcess` starts another when it dies."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from typing import Self

import structlog

from gpu_consumer import protocol
from gpu_consumer.renderer.environment import child_environment
from gpu_consumer.renderer.host_memory import KillCount
from gpu_consumer.renderer.log_tail import LogTail
from gpu_consumer.renderer.loss import STOPPED, Loss, loss_by_exit
from gpu_consumer.waiting import first_of

PROGRAM = "gpu_consumer.render"
READ_BUFFER_BYTES = 1 << 20
REAP_SECONDS = 5.0
"""How long a process that closed its connection may take to exit by itself."""
KILL_SECONDS = 10.0
"""How long a process may survive SIGKILL. One that waits in the GPU's driver (state D) may never end."""
LOG_TURNS = 3
"""Turns of the event loop within which the output that precedes an answer is read."""

log = structlog.get_logger()


class ConnectionLostError(Exception):
    """The child closed its end of the socket, or broke the protocol."""


class ChildProcess:
    """A running render process and the socket to it. `spawn` makes one."""

    def __init__(
        self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        assert process.stdout is not None  # asked for in spawn
        self._process = process
        self._reader = reader
        self._writer = writer
        self._tail = LogTail(process.stdout)
        self._tail_task = asyncio.create_task(self._tail.run())
        self._kills_for_memory = KillCount(process.pid)
        self._known_loss: Loss | None = None
        self._stuck = asyncio.Event()

    @classmethod
    async def spawn(cls) -> Self:
        """Start `python -m gpu_consumer.render`. Call it on the main thread: the child dies with its thread."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", PROGRAM, str(theirs.fileno())),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                env=child_environment(),
            )
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=READ_BUFFER_BYTES)
        return cls(process, reader, writer)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs, the negative signal number when a signal ended it."""
        return self._process.returncode

    @property
    def loss(self) -> Loss:
        """Why the process ended, once it has."""
        return self._known_loss or loss_by_exit(self.returncode, host_out_of_memory=self._kills_for_memory.rose())

    @property
    def last_lines(self) -> tuple[str, ...]:
        """The last lines of its output."""
        return self._tail.lines

    @property
    def line_count(self) -> int:
        """Number of lines written so far: a mark for `lines_since`."""
        return self._tail.count

    async def lines_since(self, mark: int) -> tuple[str, ...]:
        """Return the last lines of the output between the mark and the latest answer.

        Output that precedes an answer is readable as soon as the answer is, so a few turns of the event loop read it.
        """
        for _ in range(LOG_TURNS):
            await asyncio.sleep(0)
        return self._tail.since(mark)

    async def send(self, command: protocol.Command) -> None:
        """Send a command. Raises ConnectionLostError."""
        try:
            self._writer.write(protocol.encode(command))
            await self._writer.drain()
        except ConnectionError as error:
            raise ConnectionLostError(str(error)) from error

    async def receive(self) -> protocol.Event:
        """Return the next event. Raises ConnectionLostError."""
        try:
            header = await self._reader.readexactly(protocol.HEADER_BYTES)
            return protocol.decode_event(await self._reader.readexactly(protocol.body_length(header)))
        except (asyncio.IncompleteReadError, ConnectionError, protocol.ProtocolError) as error:
            raise ConnectionLostError(str(error)) from error

    @property
    def stuck(self) -> bool:
        """Whether the process survived SIGKILL."""
        return self._stuck.is_set()

    async def wait(self) -> None:
        """Wait until the process has exited and its output is read to the end, or until it is stuck."""
        await first_of(self._process.wait(), self._stuck.wait())
        if self.stuck:
            return
        self._known_loss = self.loss  # a kill that the kernel counts later is another process's
        await asyncio.wait([self._tail_task], timeout=REAP_SECONDS)  # a grandchild may hold the output open

    async def end(self, seconds: float, loss: Loss = STOPPED) -> None:
        """Close the connection, which ends the process. Kill it for the reason `loss` if it lives on for `seconds`."""
        self._writer.close()
        try:
            async with asyncio.timeout(seconds):
                await self.wait()
        except TimeoutError:
            await self.kill(loss)

    async def kill(self, loss: Loss) -> None:
        """Kill the process. `loss` is the reason, even if it died meanwhile; STOPPED alone keeps an earlier reason."""
        if self._known_loss is None or loss != STOPPED:
            self._known_loss = loss
        if self.returncode is None:
            # It leads a session of its own: processes that torch.compile started there end too.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(KILL_SECONDS):
                await self.wait()
        if self.returncode is None:
            log.error("the render process survived SIGKILL", pid=self.pid, seconds=KILL_SECONDS)
            self._stuck.set()
        self._writer.close()
