"""Holds a worker's code wherever the world could come in between, until the test lets it go on."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any
from uuid import UUID

from chassis.errors import DatabaseUnavailableError
from tests.protocol.snapshot import Key


class Answer(Enum):
    """What a worker hears from Postgres."""

    HEARD = auto()
    NOT_SENT = auto()
    UNHEARD = auto()
    """The statement took effect, and its answer was lost."""


@dataclass(eq=False)
class Pause:
    """A place where a worker's code waits for the test."""

    kind: str
    key: Key | None = None
    """The job and generation that it is about."""
    token: UUID | None = None
    """The lease under which it writes."""
    going_on: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def end(self, how: object = None) -> None:
        self.going_on.set_result(how)


class Strings:
    """All that one life of a worker waits for, and the tasks that end with it."""

    _current: ContextVar["Strings | None"] = ContextVar("strings", default=None)

    def __init__(self) -> None:
        self.pauses: list[Pause] = []
        self.cut = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self.quiet = asyncio.Event()
        """Set while no statement is on its way."""
        self.quiet.set()
        self._asking = 0

    def start(self, work: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """Run the work, and everything that it starts, on these strings."""
        before = self._current.set(self)
        asyncio.create_task(work())  # noqa: RUF006 - the task factory keeps it
        self._current.reset(before)

    async def pause(self, kind: str, key: Key | None = None, token: UUID | None = None) -> Any:
        """Wait for the test. What it answers is returned."""
        if self.cut:
            raise asyncio.CancelledError
        pause = Pause(kind, key, token)
        self.pauses.append(pause)
        try:
            return await pause.going_on
        finally:
            self.pauses.remove(pause)

    async def ask(self, kind: str, key: Key, token: UUID, statement: Callable[[], Awaitable[Any]]) -> Any:
        """Let the test decide when, and how, Postgres answers a statement."""
        answer = await self.pause(kind, key, token)
        if answer is Answer.NOT_SENT:
            raise DatabaseUnavailableError("not sent")
        self._asking += 1
        self.quiet.clear()
        try:
            result = await statement()
        finally:
            self._asking -= 1
            if not self._asking:
                self.quiet.set()
        if answer is Answer.UNHEARD:
            raise DatabaseUnavailableError("not heard")
        return result

    async def end(self) -> None:
        """SIGKILL: nothing that hangs on these strings does anything any more."""
        self.cut = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @classmethod
    def task_factory(cls, loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
        """Ties every task to the strings under which it was started."""
        task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, **options)
        if strings := cls._current.get():
            strings._tasks.add(task)
            task.add_done_callback(strings._tasks.discard)
        return task


async def settle(everybody: Iterable[Strings]) -> None:
    """Return when nobody can do anything before the test does."""
    loop: Any = asyncio.get_running_loop()
    strings = list(everybody)
    while loop._ready or not all(each.quiet.is_set() for each in strings):
        for each in strings:
            await each.quiet.wait()
        await asyncio.sleep(0)
