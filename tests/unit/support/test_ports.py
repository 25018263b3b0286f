import pytest

from darkroom_local.ports import CANDIDATES
from tests.support.ports import PROCESSES, candidates, free_port, free_ports

WORKERS = [None, *(f"gw{number}" for number in range(PROCESSES - 1))]


def test_processes_share_no_port() -> None:
    """Each process of a run chooses among ports of its own, and none among those of a local stack."""
    ports = [port for worker in WORKERS for port in candidates(worker)]
    assert len(ports) == len(set(ports)) > 9_000
    assert not set(ports) & set(CANDIDATES)


@pytest.mark.parametrize("worker", WORKERS)
def test_every_process_has_many(worker: str | None) -> None:
    """A process has more ports than the tests of a run take."""
    assert len(candidates(worker)) > 1_000


def test_a_port_is_not_given_twice() -> None:
    """Not even while nobody listens on it yet."""
    ports = [*free_ports(20), free_port()]
    assert len(set(ports)) == len(ports)
