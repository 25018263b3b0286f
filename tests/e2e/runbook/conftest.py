"""A stack whose parts go wrong, and its desk."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.runbook.desk import Desk, open_desk
from tests.support.services import Services
from tests.support.stack import Stack
from tests.support.stack_fixtures import stack_on


@pytest.fixture(scope="session")
async def stack(services: Services, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Start the stack of the runbook, in the place of the one that other tests share."""
    parts = services.database, services.broker, services.object_store
    async with stack_on(*parts, tiny_model.parent, tmp_path_factory.mktemp("runbook")) as running:
        yield running


@pytest.fixture(scope="session")
async def desk(stack: Stack) -> AsyncIterator[Desk]:
    """Open the desk, with an endpoint that receives every alert."""
    async with open_desk(stack) as opened:
        yield opened
