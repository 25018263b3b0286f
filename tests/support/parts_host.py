"""Serves the shared parts of a run to its processes, from a thread of the controlling one."""

import asyncio
import pickle
import shutil
import threading
from pathlib import Path
from typing import Any

from tests.support.servers import remove_abandoned_folders, temporary_folder
from tests.support.shared_parts import SharedParts

START_SECONDS = 10.0


class PartsHost:
    """A socket that answers requests to `SharedParts`. A thread of its own starts the servers, and they die with it."""

    def __init__(self) -> None:
        self._folder = temporary_folder("parts")
        self.address = self._folder / "socket"
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._run, name="parts", daemon=True)
        self._failure: BaseException | None = None

    def start(self) -> None:
        """Listen. No part is started yet."""
        remove_abandoned_folders()
        self._thread.start()
        if not self._listening.wait(START_SECONDS):
            raise TimeoutError("the host of the shared parts does not listen")

    def stop(self) -> None:
        """Stop every part that was started. Raises what went wrong in the background."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._failure:
            raise self._failure

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as failure:
            self._failure = failure

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        self._parts = SharedParts()
        server = await asyncio.start_unix_server(self._answer, self.address)
        self._listening.set()
        await self._stopping.wait()
        server.close()
        await self._parts.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request, arguments = pickle.loads(await reader.read())
        try:
            answer = await getattr(self._parts, request)(*arguments)
        except Exception as error:
            answer = error
        writer.write(pickle.dumps(answer))
        writer.close()


class Parts:
    """The shared parts, as a process that runs tests sees them: a request is a method of `SharedParts`."""

    def __init__(self, address: Path) -> None:
        self.address = address

    async def request(self, name: str, *arguments: Any) -> Any:
        """Return the answer of the run's host, or raise it where it is an error."""
        reader, writer = await asyncio.open_unix_connection(self.address)
        writer.write(pickle.dumps((name, arguments)))
        writer.write_eof()
        answer = pickle.loads(await reader.read())
        writer.close()
        if isinstance(answer, Exception):
            raise answer
        return answer
