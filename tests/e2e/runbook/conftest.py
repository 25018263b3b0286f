"""A stack whose parts go wrong, and its desk."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.e2e.runbook.desk import Desk, open_desk
from tests.e2e.runbook.page import Said, differences, headings
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
async def shared_desk(stack: Stack) -> AsyncIterator[Desk]:
    """Open the desk, with an endpoint that receives every alert."""
    async with open_desk(stack) as opened:
        yield opened


@pytest.fixture
def said() -> list[Said]:
    """Return what the commands of this test have printed."""
    return []


@pytest.fixture
def desk(shared_desk: Desk, said: list[Said]) -> Desk:
    """Return the desk, which keeps what its commands print."""
    shared_desk.said = said
    return shared_desk


@pytest.fixture(autouse=True)
def page_agrees(request: pytest.FixtureRequest, said: list[Said]) -> Iterator[None]:
    """Fail if the page says in a situation's section what its commands did not print."""
    yield
    wrong = differences(headings()[request.node.name], said)
    assert not wrong, "\n".join(wrong)
