"""Keys in wrong hands, and what an operator does about them."""

import pytest

from tests.e2e.runbook.desk import AUDIT, KEYS, Desk
from tests.support.http_client import Client
from tests.support.stack import Stack
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(300)


async def test_an_api_key_leaked(desk: Desk, stack: Stack) -> None:
    """Revoked with its jobs, it is refused within seconds, and what it queued is canceled; the tenant gets another."""
    model = stack.spare_model()
    leaked = await desk.post(KEYS, scope="client", name="web shop", tenant="gallery")
    urls = stack.gateway.url, stack.status.url, stack.places.bucket.endpoint
    async with Client(leaked["key"], *urls) as thief:
        jobs = [await thief.submit(model) for _ in range(3)]
        await desk.run("keys", "list", "--tenant", "gallery")
        leak = ("--cancel-queued", "--reason", "on a public repository")
        await desk.confirm(leaked["id"], "keys", "revoke", leaked["id"], *leak)

        async def refused() -> bool:
            return (await thief.get(f"/v1/jobs/{jobs[0]}")).status_code == 401

        await eventually(refused, seconds=10, what="the key is refused")
    await desk.run(
        "keys", "create", "--scope", "client", "--tenant", "gallery", "--name", "web shop", "--expires", "90d"
    )
    renewed = await desk.post(KEYS, scope="client", name="web shop", tenant="gallery", reason="the old one leaked")
    async with Client(renewed["key"], *urls) as shop:

        async def canceled() -> bool:
            return {(await shop.job(job_id)).status for job_id in jobs} == {"canceled"}

        await eventually(canceled, seconds=120, what="what the key queued is canceled")

    async def over() -> bool:
        [key] = (await desk.get(KEYS, id=leaked["id"]))["keys"]
        return not key["cancels_jobs"]

    await eventually(over, seconds=120, what="no job of the key is left")
    await desk.run("audit", "--subject", leaked["id"])
    entries = (await desk.get(AUDIT, subject=leaked["id"]))["entries"]
    assert [(each["action"], each["reason"]) for each in entries] == [
        ("key.revoke", "on a public repository"),
        ("key.create", None),
    ]
    assert await desk.letters(tenant="gallery") == []
