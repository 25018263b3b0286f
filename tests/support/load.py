"""Posts that keep coming while a test breaks something."""

import asyncio
from typing import Any

import httpx2

from tests.support.http_client import Client, request
from tests.support.waiting import eventually

CLIENTS = 4


class Load:
    """Several clients that post one job after the other, until the `async with` block ends; every answer is kept.

    Each pauses for `pace` seconds between two posts, so that the workers can keep up.
    """

    def __init__(self, client: Client, model: str, *, pace: float) -> None:
        self._client = client
        self._model = model
        self._pace = pace
        self._posting: list[asyncio.Task[None]] = []
        self._stopping = False
        self.accepted: list[str] = []
        self.answers: dict[int, int] = {}
        """HTTP status -> how often it was answered."""
        self.unanswered = 0

    async def __aenter__(self) -> "Load":
        self._posting = [asyncio.create_task(self._post_on()) for _ in range(CLIENTS)]
        return self

    async def __aexit__(self, *exc_info: Any) -> None:
        """Every post that was sent is heard to its end: an accepted job must not be missing from the list."""
        self._stopping = True
        await asyncio.gather(*self._posting)

    async def accepted_more(self, count: int, *, seconds: float = 60) -> None:
        """Wait until `count` further posts were accepted."""
        wanted = len(self.accepted) + count
        await eventually(lambda: len(self.accepted) >= wanted, seconds=seconds, what=f"{count} more posts are accepted")

    async def _post_on(self) -> None:
        while not self._stopping:
            await self._post()
            await asyncio.sleep(self._pace)

    async def _post(self) -> None:
        try:
            answer = await self._client.post("/v1/jobs", json=request(self._model, steps=1))
        except httpx2.TransportError:
            self.unanswered += 1
            return
        self.answers[answer.status_code] = self.answers.get(answer.status_code, 0) + 1
        if answer.status_code == 202:
            self.accepted.append(answer.json()["id"])
