"""Sweeps that judge workers by what they wrote wait for a lease while these could not write."""

from typing import ClassVar

import pytest

from chassis.errors import DatabaseUnavailableError
from chassis.postgres import Connection, Database
from chassis.settings import DatabaseSettings
from operations.sweeps.loops import EndSessions, Republish, Rescue
from operations.sweeps.sweep import PatientSweep
from tests.support.clocks import Clock
from tests.support.fixtures import DatabaseFactory
from tests.support.waiting import eventually

LEASE_SECONDS = 15.0


class Counting(PatientSweep):
    """A sweep that counts the rounds in which it acts."""

    name: ClassVar[str] = "counting"
    interval = 1.0
    acts = 0

    async def sweep(self, connection: Connection) -> int:
        """Count a round."""
        self.acts += 1
        return 0


@pytest.mark.parametrize("kind", [EndSessions, Republish, Rescue])
def test_sweeps_that_judge_workers_are_patient(kind: type) -> None:
    """They act on what a worker did not write."""
    assert issubclass(kind, PatientSweep)


async def test_a_sweep_waits_a_lease_at_its_start(pool: Database) -> None:
    """Its first round begins the wait."""
    clock = Clock()
    sweep = Counting(pool, LEASE_SECONDS, clock)
    clock.seconds = 100
    await assert_waits(sweep, clock)


@pytest.mark.parametrize("noticed", [True, False])
async def test_a_sweep_waits_a_lease_after_postgres_was_away(
    private_postgres: DatabaseFactory, *, noticed: bool
) -> None:
    """Workers can extend their leases only from then on, however long it was away and whether a round failed or not."""
    server = await private_postgres()
    clock = Clock()
    async with Database(DatabaseSettings(database_url=await server.create_database()), "test") as pool:
        sweep = Counting(pool, LEASE_SECONDS, clock)
        await sweep.run_once()
        await server.stop()
        clock.seconds = 1000
        if noticed:
            assert not await _runs(sweep)
        await server.start()
        await eventually(lambda: _runs(sweep), what="a round has a connection again")
        await assert_waits(sweep, clock)


async def _runs(sweep: PatientSweep) -> bool:
    try:
        await sweep.run_once()
    except DatabaseUnavailableError:
        return False
    return True


async def assert_waits(sweep: Counting, clock: Clock) -> None:
    """Fail unless the sweep acts one lease from now, and not earlier."""
    now = clock.seconds
    for clock.seconds in (now, now + LEASE_SECONDS - 0.1):
        await sweep.run_once()
        assert sweep.acts == 0
    clock.seconds = now + LEASE_SECONDS
    await sweep.run_once()
    assert sweep.acts == 1
