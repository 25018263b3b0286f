"""The stage that the protocol's tests play on."""

import asyncio
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import AbstractContextManager, contextmanager
from types import ModuleType
from typing import Any

import pytest
import structlog

import chassis.backoff
import gpu_consumer.job.claiming
import gpu_consumer.worker.consumer
from tests.protocol.machine import Stage
from tests.protocol.records import Records
from tests.protocol.strings import Strings

OpenStage = Callable[..., AbstractContextManager[Stage]]


@pytest.fixture
def open_stage(database: str, puppet_strings: None, complaints: list[Any]) -> OpenStage:
    """`with open_stage(sabotage)` prepares the database, spoilt by the given SQL, and an event loop to play on."""

    @contextmanager
    def open_it(sabotage: str = "") -> Iterator[Stage]:
        with asyncio.Runner(loop_factory=_new_loop) as runner:
            records = runner.run(_prepared(database, sabotage))
            try:
                yield Stage(runner, records, complaints)
            finally:
                runner.run(records.__aexit__())

    return open_it


async def _prepared(url: str, sabotage: str) -> Records:
    records = await Records(url).__aenter__()
    await records.prepare(sabotage)
    return records


def _new_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.SelectorEventLoop()
    loop.set_task_factory(Strings.task_factory)
    return loop


@pytest.fixture
def puppet_strings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the consumer's channels by puppets, and skip the pauses between two tries."""
    monkeypatch.setattr(gpu_consumer.worker.consumer, "ABORT_SECONDS", 3600.0)
    monkeypatch.setattr(gpu_consumer.job.claiming, "CLAIM_SECONDS", 3600.0)
    monkeypatch.setattr(chassis.backoff, "asyncio", _Impatient("asyncio"))


class _Impatient(ModuleType):
    """asyncio, but its sleep is over at once."""

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


@pytest.fixture
def complaints() -> Iterator[list[Any]]:
    """Return the error logs of the product during the test; all other logs are dropped."""
    found: list[Any] = []

    def collect(_logger: Any, level: str, event: MutableMapping[str, Any]) -> Any:
        if level in ("error", "exception", "critical") or event["event"] == "loop round failed":
            found.append(dict(event))
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[structlog.processors.format_exc_info, collect])
    yield found
    structlog.configure(**before)
