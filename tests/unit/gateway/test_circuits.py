"""The circuit breaker of each queue."""

import pytest

from gateway.circuits import BACKOFF, Circuits
from tests.support.clocks import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def circuits(clock: Clock) -> Circuits:
    return Circuits(clock)


def test_an_untried_destination_is_open_to_all(circuits: Circuits) -> None:
    """A destination is neither skipped nor probed before it fails."""
    assert (circuits.skipped(), circuits.probed()) == ([], [])


def test_a_failure_skips_a_destination_and_no_other(circuits: Circuits, clock: Clock) -> None:
    """It is skipped for a second, then probed until the probe succeeds or fails."""
    circuits.failed("tiny")
    assert (circuits.skipped(), circuits.probed()) == (["tiny"], [])
    clock.seconds += 1
    assert (circuits.skipped(), circuits.probed()) == ([], ["tiny"])


def test_the_pause_doubles_up_to_a_bound(circuits: Circuits, clock: Clock) -> None:
    """The pauses are 1, 2, 4, ... and at most 30 s."""
    pauses = []
    for _ in range(2000):
        circuits.failed("tiny")
        began = clock.seconds
        while circuits.skipped():
            clock.seconds += 1
        pauses.append(clock.seconds - began)
    assert pauses[:7] == [1, 2, 4, 8, 16, 30, 30]
    assert max(pauses) == BACKOFF.longest


def test_a_success_closes_the_circuit(circuits: Circuits, clock: Clock) -> None:
    """The destination is open again, and the next failure counts as the first."""
    for _ in range(5):
        circuits.failed("tiny")
    circuits.worked("tiny")
    assert (circuits.skipped(), circuits.probed()) == ([], [])
    circuits.failed("tiny")
    clock.seconds += 1
    assert circuits.probed() == ["tiny"]
