"""Tenants never learn of each other's jobs."""

from uuid import uuid4

import pytest

from tests.support.http_client import Client
from tests.support.stack import MODEL, Stack

ACTS = ("", "/cancel", "/retry")


@pytest.mark.usefixtures("workers")
async def test_another_tenants_job_answers_as_an_unknown_one(stack: Stack, client: Client) -> None:
    """Reading, canceling and retrying somebody else's job are answered byte for byte like an id that never was."""
    job_id = await client.submit(MODEL)
    await client.succeeded(job_id)
    async with await stack.client("stranger") as stranger:
        for act in ACTS:
            call = stranger.post if act else stranger.get
            foreign, unknown = await call(f"/v1/jobs/{job_id}{act}"), await call(f"/v1/jobs/{uuid4()}{act}")
            assert foreign.status_code == unknown.status_code == 404
            assert foreign.content == unknown.content


async def test_idempotency_keys_are_each_tenants_own(stack: Stack, client: Client) -> None:
    """Two tenants who choose one key get a job each."""
    model = stack.spare_model()
    body = {"model": model, "input": {"prompt": "a blue square"}}
    headers = {"Idempotency-Key": uuid4().hex}
    async with await stack.client("stranger") as stranger:
        answers = [await who.post("/v1/jobs", json=body, headers=headers) for who in (client, stranger, client)]
        assert [answer.status_code for answer in answers] == [202, 202, 202]
        mine, theirs, again = (answer.json()["id"] for answer in answers)
        assert mine != theirs
        assert mine == again
        assert answers[2].headers["idempotency-replayed"] == "true"
        await client.cancel(mine)
        await stranger.cancel(theirs)
