"""Circuit breakers of receivers."""

import pytest

from chassis.backoff import Backoff
from webhooks.dispatch import circuits as module
from webhooks.dispatch.circuits import Circuits


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def breaker(clock: Clock, threshold: int = 1) -> Circuits[str]:
    return Circuits(Backoff(first=10, longest=40, jitter=0), threshold=threshold, clock=clock)


def test_failures_in_a_row_open_it(clock: Clock) -> None:
    """Below the threshold nothing is limited, and a success starts the count again."""
    circuits = breaker(clock, threshold=3)
    for _ in range(2):
        circuits.failed("a")
    assert (circuits.room("a"), circuits.count_open()) == (None, 0)
    circuits.worked("a")
    for _ in range(3):
        assert circuits.room("a") is None
        circuits.failed("a")
    assert (circuits.room("a"), circuits.room("b"), circuits.count_open()) == (0, None, 1)


def test_an_open_circuit_is_probed_after_its_pause(clock: Clock) -> None:
    """A probe that fails doubles the pause, up to a bound; one that works closes it."""
    circuits = breaker(clock)
    for pause in (10, 20, 40, 40):
        circuits.failed("a")
        clock.now += pause - 1
        assert circuits.room("a") == 0
        clock.now += 1
        assert circuits.room("a") == 1
    circuits.worked("a")
    assert (circuits.room("a"), circuits.count_open()) == (None, 0)


def test_what_was_in_flight_counts_once(clock: Clock) -> None:
    """Deliveries that fail together after it opened leave its pause as it is."""
    circuits = breaker(clock)
    for _ in range(9):
        circuits.failed("a")
    clock.now += 10
    assert circuits.room("a") == 1


def test_a_receiver_may_ask_for_a_longer_pause(clock: Clock) -> None:
    """Retry-After extends the pause, also of a circuit that is open already."""
    circuits = breaker(clock)
    circuits.failed("a")
    circuits.failed("a", at_least_seconds=30)
    clock.now += 29
    assert circuits.room("a") == 0
    clock.now += 1
    assert circuits.room("a") == 1


def test_memory_is_bounded(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound the circuit that failed longest ago is forgotten."""
    monkeypatch.setattr(module, "MOST_KEPT", 3)
    circuits = breaker(clock)
    for key in "abcad":
        circuits.failed(key)
    assert [circuits.room(key) for key in "abcd"] == [0, None, 0, 0]


def test_an_open_circuit_knows_since_when_nothing_worked(clock: Clock) -> None:
    """Since the first failure, not since it opened."""
    circuits = breaker(clock, threshold=2)
    circuits.failed("a")
    clock.now += 5
    assert circuits.open_seconds("a") is None
    circuits.failed("a")
    clock.now += 100
    assert circuits.open_seconds("a") == 105
    circuits.worked("a")
    circuits.failed("a")
    circuits.failed("a")
    assert circuits.open_seconds("a") == 0
