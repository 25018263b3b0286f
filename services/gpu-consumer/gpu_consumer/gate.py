"""Whether the worker may take a message: open while every condition holds and nobody asked it to stop."""

import asyncio

NAME = "worker_name"
"""Postgres is reachable and the worker's name is held there."""
RENDERER = "renderer"
"""The model is warm."""
RESUMED = "resumed"
"""The model is not paused."""
DATABASE = "database"
"""Postgres answers claims in time."""
OWN_DATABASE = "own_database"
"""The queue's messages speak of jobs of the database that the worker is connected to."""


class Gate:
    """Conditions with names. Those who know switch them; the consumer waits for the whole."""

    def __init__(self, *conditions: str) -> None:
        self._conditions = {name: asyncio.Event() for name in conditions}
        self._reasons: dict[str, str] = {}
        self._opened = asyncio.Event()
        self._closed = asyncio.Event()
        self._draining = asyncio.Event()
        self._closed.set()

    @property
    def draining(self) -> bool:
        return self._draining.is_set()

    @property
    def is_open(self) -> bool:
        return self._opened.is_set()

    def allow(self, condition: str) -> None:
        self._conditions[condition].set()
        self._update()

    def forbid(self, condition: str, reason: str = "") -> None:
        self._conditions[condition].clear()
        self._reasons[condition] = reason
        self._update()

    def drain(self) -> None:
        """Close for good."""
        self._draining.set()
        self._update()

    def holds(self, condition: str) -> bool:
        return self._conditions[condition].is_set()

    async def check(self, condition: str) -> None:
        """Raises RuntimeError with its reason while the condition does not hold."""
        if not self.holds(condition):
            raise RuntimeError(self._reasons.get(condition) or f"{condition} is not given yet")

    async def wait_for(self, condition: str) -> None:
        await self._conditions[condition].wait()

    async def wait_open(self) -> None:
        await self._opened.wait()

    async def wait_closed(self) -> None:
        await self._closed.wait()

    async def wait_draining(self) -> None:
        await self._draining.wait()

    def _update(self) -> None:
        is_open = not self.draining and all(event.is_set() for event in self._conditions.values())
        for event, holds in ((self._opened, is_open), (self._closed, not is_open)):
            if holds:
                event.set()
            else:
                event.clear()
