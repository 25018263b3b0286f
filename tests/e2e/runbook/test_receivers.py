"""Webhooks that were given up, what the desk shows, and what an operator does about them."""

import pytest

from tests.e2e.runbook.desk import LETTERS, Desk
from tests.support.http_client import Client, request
from tests.support.receiver import accept, always, open_receiver
from tests.support.stack import IDLE_MODEL, Stack
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(300)

MAKE_DUE = """
    UPDATE webhook_deliveries SET next_attempt_at = now()
    WHERE job_id = $1::text::uuid AND status = 'pending' AND lease_token IS NULL AND next_attempt_at > now()
"""
"""The schedule takes 75 hours, so its pauses are skipped."""
ATTEMPTS = 10


async def canceled(client: Client, url: str) -> str:
    """Submit a job with a webhook, cancel it, and return its id."""
    answer = await client.post("/v1/jobs", json=request(IDLE_MODEL) | {"webhook_url": url})
    assert answer.status_code == 202, answer.text
    job_id = str(answer.json()["id"])
    assert (await client.cancel(job_id)).status_code == 200
    return job_id


async def test_a_receiver_of_webhooks_was_given_up(desk: Desk, stack: Stack) -> None:
    """The letter shows each attempt, and its hidden parts what the receiver answered; replayed, the webhook arrives."""
    async with open_receiver() as receiver, await stack.client("web-shop") as client:
        receiver.behave = always(404, b"no such shop")
        job_id = await canceled(client, f"{receiver.url}/hook")

        async def exhausted() -> bool:
            await stack.ledger.rows(MAKE_DUE, job_id)
            await stack.ledger.rows("SELECT wake_dispatcher()")
            return bool(await desk.letters(kind="webhook", tenant="web-shop"))

        await eventually(exhausted, seconds=60, what="the last attempt failed")
        letter = await desk.letter(kind="webhook", tenant="web-shop")
        assert (letter["reason"], letter["job_id"], letter["model"]) == ("webhook_exhausted", job_id, None)
        assert (await desk.opened(letter))["reason"] == "webhook_exhausted"
        delivery = letter["delivery"]
        assert (delivery["status"], delivery["event"], delivery["endpoint_status"]) == (
            "failed",
            "job.canceled",
            "enabled",
        )
        assert [each["status_code"] for each in delivery["attempts"]] == [404] * ATTEMPTS
        hidden = await desk.revealed(letter)
        assert hidden["url"] == f"{receiver.url}/hook"
        assert hidden["attempts"][-1]["response"] == "bm8gc3VjaCBzaG9w"

        await desk.run("dead-letters", "list", "--kind", "webhook")
        await desk.run("dead-letters", "show", letter["id"])
        await desk.run("dead-letters", "reveal", letter["id"], "--reason", "what does the shop answer")
        edited = await desk.refusal(f"{LETTERS}/{letter['id']}/replay", edit={"input": {"width": 64}})
        assert edited == (422, "invalid_request", "A webhook is sent again as it was; replay it without an edit.")
        receiver.behave = accept
        await desk.run("dead-letters", "replay", letter["id"], "--reason", "the shop works again")
        await desk.becomes(letter, "replayed")
        first, *_, last = receiver.requests
        assert (last.delivery_id, last.body) == (first.delivery_id, first.body)
        await desk.closed(letter)
