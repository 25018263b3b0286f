"""The gateway's process dies; what it accepted does not."""

import signal
from uuid import uuid4

import httpx2
import pytest

from tests.support.http_client import Client, request
from tests.support.load import Load
from tests.support.processes import ServiceProcess
from tests.support.stack import MODEL, Stack
from tests.support.waiting import eventually

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300), pytest.mark.usefixtures("workers")]


async def test_every_accepted_post_survives_the_gateway(stack: Stack, client: Client, gateway: ServiceProcess) -> None:
    """Of the posts under way when the gateway is killed, each that was answered 202 is rendered, and once."""
    async with Load(client, MODEL, pace=0.01) as load:
        await load.accepted_more(20)
        gateway.kill()
        await eventually(lambda: load.unanswered > 0, what="the gateway is gone")
    assert set(load.answers) == {202}
    await gateway.restart()
    await client.succeeded(*load.accepted)
    assert await stack.ledger.outcomes(*load.accepted) == ["succeeded"] * len(load.accepted)


async def test_a_relay_killed_before_its_delete_makes_at_most_a_duplicate(
    stack: Stack, gateway: ServiceProcess
) -> None:
    """A message that was published but not deleted from the outbox is published again, and rendered once."""
    gateway.kill()
    doomed = stack.launch_gateway("doomed", ("kill", "after_publish"))
    await doomed.ready()
    headers, body = {"Idempotency-Key": uuid4().hex}, request(MODEL)
    async with await stack.client(gateway=doomed) as unlucky:
        await _post_whatever_comes(unlucky, body, headers)
        assert await doomed.wait() == -signal.SIGKILL
    assert await stack.ledger.count("outbox") == 1

    await gateway.restart()
    async with await stack.client() as client:
        answer = await client.post("/v1/jobs", json=body, headers=headers)
        assert answer.status_code == 202
        await client.succeeded(answer.json()["id"])
        await eventually(lambda: _is_empty(stack, "outbox"), what="the outbox is empty")
        await client.succeeded(await client.submit(MODEL))
        assert await stack.ledger.outcomes(answer.json()["id"]) == ["succeeded"]


async def _post_whatever_comes(client: Client, body: object, headers: dict[str, str]) -> None:
    """Submit a job with a key, and repeat it if the gateway dies before its answer is sent."""
    try:
        await client.post("/v1/jobs", json=body, headers=headers)
    except httpx2.TransportError:
        return


async def _is_empty(stack: Stack, table: str) -> bool:
    return await stack.ledger.count(table) == 0
