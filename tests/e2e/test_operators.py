"""Operators pause a model, drain a worker and revoke a key from the command line, while jobs come in."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from darkroom_contracts.api import Scope
from darkroom_contracts.states import JobStatus
from darkroom_contracts.topology import work_queue
from tests.support.commands import darkroom
from tests.support.http_client import Client
from tests.support.stack import Stack
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(300)


@dataclass(frozen=True)
class Desk:
    """Runs `darkroom` for operations, with one key."""

    url: str
    key: str

    async def __call__(self, *arguments: str) -> str:
        """Run a command, which must succeed, and return what it prints for people."""
        finished = await darkroom(*arguments, DARKROOM_URL=self.url, DARKROOM_OPERATOR_KEY=self.key)
        assert finished.exit_code == 0, finished.err
        return finished.out

    async def read(self, *arguments: str) -> Any:
        """Return what a command prints for programs."""
        return (await darkroom(*arguments, "--json", DARKROOM_URL=self.url, DARKROOM_OPERATOR_KEY=self.key)).json

    async def becomes(self, worker: str, wanted: str) -> None:
        """Wait until the list says that of a worker."""

        async def there() -> bool:
            (shown,) = await self.read("workers", worker)
            return bool(shown["state"] == wanted)

        await eventually(there, seconds=30, what=f"{worker} is {wanted}")


@pytest.fixture
async def desk(stack: Stack) -> Desk:
    return Desk(stack.operations.url, await stack.key("desk", Scope.OPERATOR))


@pytest.fixture
async def observer(stack: Stack) -> Desk:
    return Desk(stack.operations.url, await stack.key("desk", Scope.OBSERVER))


@pytest.fixture
async def shop(stack: Stack, desk: Desk) -> AsyncIterator[tuple[str, Client]]:
    """Make a key by the command. Yield its id and a client with it."""
    made = await desk.read("keys", "create", "--scope", "client", "--name", "shop", "--tenant", "shop")
    async with Client(made["key"], stack.gateway.url, stack.status.url, stack.places.bucket.endpoint) as client:
        yield made["id"], client


async def test_a_paused_model_accepts_jobs_and_renders_none(
    stack: Stack, client: Client, desk: Desk, observer: Desk
) -> None:
    """Its worker finishes its job and leaves the queue alone; resumed it works the queue off."""
    model = stack.spare_model()
    worker = await stack.worker("imogen", model=model)
    rendering = await client.submit(model, steps=300)
    await client.rendering(rendering)
    assert rendering in await observer("workers", "--model", model)
    assert f"{model} is paused" in await desk("queues", "pause", model, "--reason", "new weights")
    await eventually(lambda: "the model is paused" in worker.output(), what="the worker has read of the pause")
    waiting = [await client.submit(model) for _ in range(3)]
    await client.succeeded(rendering)
    await desk.becomes("imogen", "paused")

    async def queued() -> bool:
        (queue,) = (await observer.read("queues", model))["queues"]
        return (queue["queued"], queue["in_flight"], queue["broker"]["ready"]) == (3, 0, 3)

    await eventually(queued, seconds=30, what="the jobs wait in the database and in RabbitMQ")
    assert "new weights" in await observer("queues")
    assert f"{model} is resumed" in await desk("queues", "resume", model)
    await client.succeeded(*waiting)
    assert await worker.stop() == 0


async def test_a_drained_worker_leaves_its_jobs_to_the_others(stack: Stack, client: Client, desk: Desk) -> None:
    """It finishes what it renders; later jobs are rendered by its colleague alone; resumed it takes jobs again."""
    model = stack.spare_model()
    drained = await stack.worker("vivian", model=model)
    rendering = await client.submit(model, steps=300)
    await client.rendering(rendering)
    await desk("workers", "drain", "vivian", "--reason", "a loud fan")
    await desk.becomes("vivian", "draining")
    colleague = await stack.worker("walker", model=model)
    later = [await client.submit(model) for _ in range(5)]
    await client.succeeded(rendering, *later)
    assert {(await stack.ledger.attempts(job_id))[-1].worker for job_id in later} == {"walker"}
    await desk.becomes("vivian", "drained")
    assert await stack.queues.waiting(work_queue(model)) == 0
    assert await colleague.stop() == 0
    await desk("workers", "resume", "vivian")
    await stack.rendered_by("vivian", client, model=model)
    assert await drained.stop() == 0
    assert await desk.read("workers", "--model", model) == []


async def test_a_revoked_key_s_jobs_are_canceled(
    stack: Stack, desk: Desk, observer: Desk, shop: tuple[str, Client]
) -> None:
    """Those that wait and the one that renders; the same tenant's other jobs go on, and the key is refused."""
    model = stack.spare_model()
    key_id, revoked = shop
    worker = await stack.worker("sally", model=model)
    rendering = await revoked.submit(model, steps=600, num_images=4)
    await revoked.rendering(rendering)
    waiting = [await revoked.submit(model) for _ in range(3)]
    async with await stack.client("shop") as other:
        kept = await other.submit(model)
        shown = await desk("keys", "revoke", key_id, "--cancel-queued", "--yes", "--reason", "leaked")
        assert "Its jobs are being canceled" in shown
        ended = [(await other.finished(job_id)).status for job_id in (rendering, *waiting)]
        assert ended == [JobStatus.CANCELED] * 4
        await other.succeeded(kept)

    async def refused() -> bool:
        return (await revoked.get(f"/v1/jobs/{kept}")).status_code == 401

    await eventually(refused, seconds=30, what="the key is refused")
    (entry,) = await observer.read("audit", "--subject", key_id, "--action", "key.revoke")
    assert (entry["reason"], entry["after"]["cancels_jobs"]) == ("leaked", True)
    assert await worker.stop() == 0
