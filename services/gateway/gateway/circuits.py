"""Circuit breakers: a queue that does not confirm is skipped for a while, then probed with a single message."""

from collections.abc import Callable
from time import monotonic

import msgspec
import structlog

from chassis.backoff import Backoff
from gateway import metrics

log = structlog.get_logger()

BACKOFF = Backoff(first=1.0, longest=30.0, jitter=0)


class _Circuit(msgspec.Struct, frozen=True):
    """An open circuit: no message is sent until the given time, then one at a time."""

    failures: int
    until: float


class Circuits:
    """A circuit breaker per destination. Only open ones are stored."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._open: dict[str, _Circuit] = {}

    def skipped(self) -> list[str]:
        """Return the destinations to skip for now."""
        now = self._clock()
        return [destination for destination, circuit in self._open.items() if now < circuit.until]

    def probed(self) -> list[str]:
        """Return the destinations to probe with a single message."""
        now = self._clock()
        return [destination for destination, circuit in self._open.items() if now >= circuit.until]

    def failed(self, destination: str) -> None:
        """Open the destination's circuit for a pause that doubles with each failure in a row."""
        failures = self._open[destination].failures + 1 if destination in self._open else 1
        pause = BACKOFF.pause(failures)
        self._open[destination] = _Circuit(failures, self._clock() + pause)
        metrics.OPEN_CIRCUITS.set(len(self._open))
        log.warning("queue does not confirm and is skipped", destination=destination, pause_seconds=pause)

    def worked(self, destination: str) -> None:
        """Close the destination's circuit."""
        if self._open.pop(destination, None):
            metrics.OPEN_CIRCUITS.set(len(self._open))
            log.info("queue confirms again", destination=destination)
