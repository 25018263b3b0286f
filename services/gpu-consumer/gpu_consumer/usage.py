"""The wall time of the worker's GPU, by what it is used for."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from enum import StrEnum

from gpu_consumer import metrics

PROMPT_SECONDS = 0.02
"""A message that arrives this soon after the subscription was in the queue before: its wait counts as BETWEEN."""


class Use(StrEnum):
    """What the GPU is used for."""

    LOADING = "loading"
    """No warm render process."""
    RENDERING = "rendering"
    """From the request to the render process until its answer."""
    WAITING = "waiting"
    """Subscribed to an empty queue."""
    BETWEEN = "between"
    """Warm and idle, although a message is there or was not asked for yet."""


class Usage:
    """A clock that runs for one use at a time."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._use = Use.LOADING
        self._since = clock()
        self._spent = dict.fromkeys(Use, 0.0)
        self._served = asyncio.Event()
        self._served.set()

    @property
    def idle_share(self) -> float:
        """Share of the time without a render, of all time but loading."""
        spent = self._up_to_now()
        idle = spent[Use.WAITING] + spent[Use.BETWEEN]
        return _ratio(idle, idle + spent[Use.RENDERING])

    @property
    def overhead_share(self) -> float:
        """Share of the time without a render, of all time but loading and waiting."""
        spent = self._up_to_now()
        return _ratio(spent[Use.BETWEEN], spent[Use.BETWEEN] + spent[Use.RENDERING])

    def warm(self) -> None:
        """Note that the render process is warm."""
        self._enter(Use.BETWEEN)

    def lost(self) -> None:
        """Note that the render process is lost."""
        self._enter(Use.LOADING)

    def render_begins(self) -> None:
        """Note that a render begins."""
        self._enter(Use.RENDERING)

    def render_ends(self) -> None:
        """Note that the render has ended."""
        if self._use is Use.RENDERING:
            self._enter(Use.BETWEEN)

    def subscribed(self) -> None:
        """Note that the queue is empty and the worker subscribed to it."""
        if self._use is Use.BETWEEN:
            self._enter(Use.WAITING)

    def delivered(self) -> None:
        """Note that a message arrived, or that the wait for one is over."""
        if self._use is Use.WAITING:
            waited = self._clock() - self._since
            if waited < PROMPT_SECONDS:
                self._use = Use.BETWEEN
            self._enter(Use.BETWEEN)

    async def let_next_begin(self, seconds: float) -> None:
        """Wait until the GPU renders or has nothing to render, for `seconds` at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._served.wait()

    def account(self) -> None:
        """Bring the counters up to date. Each change of use does so, too."""
        now = self._clock()
        elapsed, self._since = now - self._since, now
        self._spent[self._use] += elapsed
        metrics.GPU_SECONDS.labels(self._use).inc(elapsed)

    def _enter(self, use: Use) -> None:
        self.account()
        self._use = use
        if use is Use.BETWEEN:
            self._served.clear()
        else:
            self._served.set()

    def _up_to_now(self) -> dict[Use, float]:
        return self._spent | {self._use: self._spent[self._use] + self._clock() - self._since}


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
