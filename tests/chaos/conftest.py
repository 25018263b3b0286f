"""What the chaos tests share."""

from collections.abc import AsyncIterator

import pytest

from tests.support.processes import ServiceProcess
from tests.support.stack import Stack


@pytest.fixture
async def gateway(stack: Stack) -> AsyncIterator[ServiceProcess]:
    """Return the shared stack's gateway, which a test can kill, and restart it afterwards."""
    yield stack.gateway
    if stack.gateway.returncode is not None:
        await stack.gateway.restart()
