"""Circuit breakers: what fails repeatedly is skipped for a while, then probed with a single delivery."""

from collections.abc import Callable, Hashable
from time import monotonic
from typing import Generic, TypeVar

import msgspec

from chassis.backoff import Backoff

K = TypeVar("K", bound=Hashable)

MOST_KEPT = 10_000
"""Keys that are remembered; beyond that the oldest is forgotten, and closed with it."""


class _Circuit(msgspec.Struct, frozen=True):
    failures: int
    since: float
    """The time of the first of them."""
    until: float


class Circuits(Generic[K]):
    """A breaker for each key. Keys that work are not stored."""

    def __init__(self, backoff: Backoff, *, threshold: int = 1, clock: Callable[[], float] = monotonic) -> None:
        """Open a key's circuit after `threshold` failures in a row, for pauses that grow with each further one."""
        self._backoff = backoff
        self._threshold = threshold
        self._clock = clock
        self._circuits: dict[K, _Circuit] = {}

    def count_open(self) -> int:
        """Return the number of open circuits. Looks at all keys that don't work."""
        return sum(circuit.failures >= self._threshold for circuit in self._circuits.values())

    def has_failed(self, key: K) -> bool:
        """Return whether the last that is known of the key is a failure."""
        return key in self._circuits

    def room(self, key: K) -> int | None:
        """Return how many deliveries may be in flight: 0 while skipped, 1 for a probe, None without a limit."""
        circuit = self._circuits.get(key)
        if circuit is None or circuit.failures < self._threshold:
            return None
        return 0 if self._clock() < circuit.until else 1

    def open_seconds(self, key: K) -> float | None:
        """Return how long nothing has worked; None if the circuit is closed."""
        circuit = self._circuits.get(key)
        if circuit is None or circuit.failures < self._threshold:
            return None
        return self._clock() - circuit.since

    def failed(self, key: K, at_least_seconds: float = 0) -> None:
        """Count a failure, and open the circuit if it was one too many.

        Deliveries that were in flight when the circuit opened fail together, and count once.
        """
        last = self._circuits.pop(key, None) or _Circuit(0, self._clock(), float("-inf"))
        skipped = self._clock() < last.until
        failures = last.failures if skipped else last.failures + 1
        until = last.until if skipped else self._clock() + self._pause(failures)
        self._circuits[key] = _Circuit(failures, last.since, max(until, self._clock() + at_least_seconds))
        if len(self._circuits) > MOST_KEPT:
            del self._circuits[next(iter(self._circuits))]

    def worked(self, key: K) -> None:
        """Close the circuit."""
        self._circuits.pop(key, None)

    def _pause(self, failures: int) -> float:
        beyond = failures - self._threshold + 1
        return self._backoff.pause(beyond) if beyond >= 1 else 0
