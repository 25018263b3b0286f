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
    """Nothing is skipped or probed before it failed."""
    assert (circuits.skipped(), circuits.probed()) == ([], [])


def test_a_failure_skips_a_destination_and_no_other(circuits: Circuits, clock: Clock) -> None:
    """It is left alone for a second, then probed until it is judged again."""
    circuits.failed("tiny")
    assert (circuits.skipped(), circuits.probed()) == (["tiny"], [])
    clock.seconds += 1
    assert (circuits.skipped(), circuits.probed()) == ([], ["tiny"])


def test_the_pause_doubles_up_to_a_bound(circuits: Circuits, clock: Clock) -> None:
    """1, 2, 4, ... and 30 s at the most, however often it failed."""
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
    """Then it may take all it can, and the next failure is a first one."""
    for _ in range(5):
        circuits.failed("tiny")
    circuits.worked("tiny")
    assert (circuits.skipped(), circuits.probed()) == ([], [])
    circuits.failed("tiny")
    clock.seconds += 1
    assert circuits.probed() == ["tiny"]
