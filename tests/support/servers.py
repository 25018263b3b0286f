"""Servers under a test's control: started from the local binaries, or by a Docker engine."""

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psutil

from darkroom_local.parts import Part
from darkroom_local.program import Program, base_environment
from tests.support.children import Child
from tests.support.waiting import eventually

PATIENCE_SECONDS = 2.0
FOLDERS = "darkroom-test-"
MEMORY = Path("/dev/shm")
MEMORY_BYTES = 4 << 30
"""What the parts of a run may come to need: logs that are written ahead, above all."""


class Server(Protocol):
    """A part that a test may stop and start. All of it waits until the new state is reached."""

    async def start(self) -> None: ...

    async def stop(self) -> None:
        """Stop it the polite way."""

    async def kill(self) -> None:
        """Stop it the way a power cut would."""

    async def lose(self) -> None:
        """Stop it the way a power cut would, and lose all that it kept."""

    async def discard(self) -> None:
        """Leave nothing of it, data included."""


class LocalServer:
    """A part run from local binaries in a temporary folder."""

    def __init__(self, part: Part, folder: Path) -> None:
        self.part = part
        self._folder = folder
        self._children: list[Child] = []

    @property
    def pids(self) -> list[int]:
        """Of the part's own programs, in the order of their start."""
        return [child.pid for child in self._children]

    async def start(self) -> None:
        await asyncio.to_thread(self.part.prepare)
        for program in self.part.programs():
            await self._start(program)

    async def _start(self, program: Program) -> None:
        environment = {**base_environment(), **program.environment}
        log = self._folder / f"{program.name}.log"
        stop = program.stop_signal
        child = Child(program.command, environment, program.directory, log, stop_signal=stop, signal_of_orphans=stop)
        self._children.append(child)

        async def settled() -> bool:
            return not child.running or await asyncio.to_thread(program.ready)

        await eventually(settled, seconds=program.start_seconds, what=f"{program.name} is ready, see {log}")
        if not child.running:
            raise RuntimeError(f"{program.name} ended with {child.returncode}; its log ends:\n{child.tail()}")

    async def stop(self) -> None:
        while self._children:
            await self._children[-1].stop()
            self._children.pop()

    async def kill(self) -> None:
        """Kill what its programs started, too: it would keep PostgreSQL's shared memory from the next server."""
        while self._children:
            await asyncio.to_thread(self._children.pop().kill_tree)

    async def lose(self) -> None:
        await self.kill()
        await asyncio.to_thread(_empty, self._folder)

    async def discard(self) -> None:
        """End the server with a short grace period, in which PostgreSQL frees its shared memory."""
        for child in reversed(self._children):
            await child.end(PATIENCE_SECONDS)
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)


@dataclass(frozen=True)
class SharedServer:
    """A local server that the controlling process of the run started. Others may look at it, but not stop it."""

    part: Part
    pids: tuple[int, ...]


class DockerServer:
    """A part run as a container. Its host ports are fixed, so that it comes back where it was."""

    def __init__(self, container: Any, ready: Any) -> None:
        self._container = container
        self._ready = ready
        self._created = False

    async def start(self) -> None:
        await asyncio.to_thread(self._run)

        async def ready() -> bool:
            return await asyncio.to_thread(self._ready)

        await eventually(ready, seconds=120, what=f"{self._container.image} is ready")

    def _run(self) -> None:
        if self._created:
            self._container.get_wrapped_container().start()
        else:
            self._container.start()
            self._created = True

    def run(self, *command: str) -> str:
        """Run a command inside, and return what it prints. Blocking."""
        return str(self._container.get_wrapped_container().exec_run(list(command)).output.decode(errors="replace"))

    async def stop(self) -> None:
        await asyncio.to_thread(self._container.get_wrapped_container().stop, timeout=60)

    async def kill(self) -> None:
        await asyncio.to_thread(self._container.get_wrapped_container().kill, signal.SIGKILL.name)

    async def lose(self) -> None:
        await self.kill()
        await self.discard()
        self._created = False

    async def discard(self) -> None:
        await asyncio.to_thread(self._container.stop)


def temporary_folder(name: str, *, in_memory: bool = True) -> Path:
    """Return a new folder that only this user may enter, in memory where there is room: no part waits for a disk.

    What a part has flushed survives the part's death there, too; only the end of the machine would take it.
    """
    return Path(tempfile.mkdtemp(prefix=f"{FOLDERS}{os.getpid()}-{name}-", dir=_memory() if in_memory else None))


def remove_abandoned_folders() -> None:
    """Remove what a killed run left in memory."""
    for folder in MEMORY.glob(f"{FOLDERS}*-*"):
        owner = folder.name.removeprefix(FOLDERS).split("-")[0]
        if owner.isdecimal() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


def _memory() -> Path | None:
    """Return the file system in memory, None where there is none or too little of it (a container's has 64 MiB)."""
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > MEMORY_BYTES
    return MEMORY if roomy else None


def _empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir(mode=0o700)


async def discard_all(servers: Iterable[Server]) -> None:
    await asyncio.gather(*(server.discard() for server in servers))
