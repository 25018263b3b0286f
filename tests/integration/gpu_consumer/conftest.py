"""A worker's surroundings on real parts, and consumers that share one warm render process."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from gpu_consumer.renderer.process import RenderProcess
from tests.integration.gpu_consumer.line import Line
from tests.integration.gpu_consumer.workshop import Workshop, load
from tests.support.endpoints import Bucket
from tests.support.renderers import STAND_IN, rendered_by


@pytest.fixture(scope="session")
async def warm_process(tiny_model: Path) -> AsyncIterator[RenderProcess]:
    """Start a warm render process without PyTorch that tests share; each leaves it warm."""
    process = RenderProcess(load(tiny_model))
    with rendered_by(STAND_IN):
        await process.start()
    yield process
    await process.stop()


@pytest.fixture
async def workshop(
    database: str, vhost: str, bucket: Bucket, tiny_model: Path, tmp_path: Path
) -> AsyncIterator[Workshop]:
    """Open a fresh database, vhost and bucket for a worker."""
    async with Workshop(database, vhost, bucket, tiny_model.parent, tmp_path) as shop:
        yield shop


@pytest.fixture
async def line(workshop: Workshop, warm_process: RenderProcess) -> AsyncIterator[Line]:
    """Open a consumer that takes messages once the test starts it."""
    async with AsyncExitStack() as clean_up:
        yield await clean_up.enter_async_context(Line(workshop, warm_process))
