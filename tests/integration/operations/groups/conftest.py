"""The folder of a database, without an origin for links."""

import pytest

from chassis.postgres import Database
from operations.alerts.alerts import Alerts
from operations.groups.folding import FoldGroups


@pytest.fixture
def folder(pool: Database) -> FoldGroups:
    return FoldGroups(pool, Alerts(""))
