"""The gate: the worker may take messages while every condition holds and it does not drain."""

import asyncio

NAME = "worker_name"
"""Postgres is reachable and the worker's name is held there."""
RENDERER = "renderer"
"""The model is warm."""
RESUMED = "resumed"
"""No operator has paused the model or drained the worker."""
DATABASE = "database"
"""Postgres answers claims in time."""
OWN_DATABASE = "own_database"
"""The queue's messages are of jobs of the connected database."""


class Gate:
    """Named conditions, each switched by one part of the worker. It is open while all of them hold."""

    def __init__(self, *conditions: str) -> None:
        self._conditions = {name: asyncio.Event() for name in conditions}
        self._reasons: dict[str, str] = {}
        self._opened = asyncio.Event()
        self._closed = asyncio.Event()
        self._draining = asyncio.Event()
        self._closed.set()

    @property
    def draining(self) -> bool:
        """Whether it is closed for good."""
        return self._draining.is_set()

    @property
    def is_open(self) -> bool:
        """Whether the worker may take a message."""
        return self._opened.is_set()

    def allow(self, condition: str) -> None:
        """Note that the condition holds."""
        self._conditions[condition].set()
        self._update()

    def forbid(self, condition: str, reason: str = "") -> None:
        """Note that the condition does not hold. `check` raises the reason."""
        self._conditions[condition].clear()
        self._reasons[condition] = reason
        self._update()

    def drain(self) -> None:
        """Close for good."""
        self._draining.set()
        self._update()

    def holds(self, condition: str) -> bool:
        """Return whether the condition holds."""
        return self._conditions[condition].is_set()

    async def check(self, condition: str) -> None:
        """Raise RuntimeError with the reason unless the condition holds."""
        if not self.holds(condition):
            raise RuntimeError(self._reasons.get(condition) or f"{condition} does not hold yet")

    async def wait_for(self, condition: str) -> None:
        """Wait until the condition holds."""
        await self._conditions[condition].wait()

    async def wait_open(self) -> None:
        """Wait until every condition holds."""
        await self._opened.wait()

    async def wait_closed(self) -> None:
        """Wait until a condition fails, or the worker drains."""
        await self._closed.wait()

    async def wait_draining(self) -> None:
        """Wait until the worker drains."""
        await self._draining.wait()

    def _update(self) -> None:
        is_open = not self.draining and all(event.is_set() for event in self._conditions.values())
        for event, holds in ((self._opened, is_open), (self._closed, not is_open)):
            if holds:
                event.set()
            else:
                event.clear()
