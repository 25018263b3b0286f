"""A floor on which bulk replays run."""

import pytest

from chassis.postgres import Database
from tests.integration.operations.bulk.floor import Floor
from tests.integration.operations.jobs import Jobs


@pytest.fixture
def floor(pool: Database, jobs: Jobs) -> Floor:
    """Return loops and use cases over the test's database."""
    return Floor(pool, jobs)
