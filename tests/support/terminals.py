"""The `darkroom` command in a pseudo-terminal, as people run it."""

import asyncio
import fcntl
import os
import pty
import re
import signal
import struct
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from darkroom_local.program import base_environment
from tests.support.commands import DARKROOM
from tests.support.waiting import eventually

# The terminal becomes the controlling one of the command's session, so that a typed Ctrl-C is a signal.
_LAUNCH = "import fcntl, os, sys, termios\nfcntl.ioctl(0, termios.TIOCSCTTY, 0)\nos.execv(sys.argv[1], sys.argv[1:])\n"
_SEQUENCES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")
CTRL_C = "\x03"
WAIT_SECONDS = 30.0


class Terminal:
    """A running command and its terminal."""

    def __init__(self, process: asyncio.subprocess.Process, master: int) -> None:
        self._process = process
        self._master = master
        self._output = bytearray()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(master, self._read)

    def _read(self) -> bool:
        try:
            read = os.read(self._master, 65536)
        except OSError:  # EIO: the command has ended
            self._loop.remove_reader(self._master)
            return False
        self._output += read
        return True

    @property
    def raw(self) -> str:
        """Return all that was written, with the sequences that a terminal obeys."""
        return self._output.decode(errors="replace")

    @property
    def text(self) -> str:
        """Return all that was written, without these sequences: a bar is in it as often as it was drawn."""
        return _SEQUENCES.sub("", self.raw)

    async def shows(self, wanted: str, seconds: float = WAIT_SECONDS) -> None:
        """Wait until a text was written."""
        try:
            await eventually(lambda: wanted in self.text, seconds=seconds, what=f"{wanted!r} in the terminal")
        except TimeoutError as error:
            raise TimeoutError(f"{error}; it shows:\n{self.text}") from error

    def type(self, text: str) -> None:
        """Press these keys."""
        os.write(self._master, text.encode())

    async def ends(self, seconds: float = WAIT_SECONDS) -> int:
        """Wait until the command has ended, and return its exit code."""
        async with asyncio.timeout(seconds):
            code = await self._process.wait()
        while self._read():
            pass
        return code

    def close(self) -> None:
        """End the command if it still runs."""
        self._loop.remove_reader(self._master)
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
        os.close(self._master)


def _environment() -> dict[str, str]:
    """Return the caller's environment without the size of its own terminal, which pytest-xdist sets."""
    foreign = ("COLUMNS", "LINES")
    return {key: value for key, value in base_environment().items() if key not in foreign} | {"TERM": "xterm-256color"}


@asynccontextmanager
async def terminal(*arguments: str, columns: int = 160, **environment: str) -> AsyncIterator[Terminal]:
    """Run `darkroom` in a terminal of that width, with only the given settings in its environment."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _LAUNCH, str(DARKROOM)),
        *arguments,
        env={**_environment(), **environment},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    opened = Terminal(process, master)
    try:
        yield opened
    finally:
        opened.close()
        await process.wait()
