"""What goes wrong with messages, what the desk shows, and what an operator does about it."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from darkroom_contracts.messages import decode_render, encode_render, v2
from darkroom_contracts.topology import DEAD_EXCHANGE, work_queue
from tests.e2e.runbook.desk import LETTERS, REASON, REPLAYS, Desk, open_desk
from tests.e2e.runbook.page import Said
from tests.support.backups import back_up, restore
from tests.support.http_client import Client
from tests.support.stack import MODEL, Stack
from tests.support.stack_fixtures import StackFactory
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(300)


async def take(stack: Stack, model: str) -> bytes:
    """Take the one message of a model's queue out of it, and return its body."""
    bodies: list[bytes] = []

    async def taken() -> bool:
        async with stack.queues.channel() as channel:
            queue = await channel.get_queue(work_queue(model))
            message = await queue.get(fail=False, no_ack=True)
            bodies.extend([message.body] if message else [])
        return bool(bodies)

    await eventually(taken, what=f"a message of {model}")
    return bodies[0]


async def test_a_deployment_sends_messages_that_cannot_be_decoded(desk: Desk, stack: Stack, client: Client) -> None:
    """They are kept with their bytes and can't be replayed; no job is lost by them, and they are discarded together."""
    model = stack.spare_model()
    job_id = await client.submit(model)
    sent = await take(stack, model)
    later = sent.replace(b"darkroom.render.v2", b"darkroom.render.v9")
    assert later != sent
    await stack.queues.publish(model, later, {"deployment": "gateway-2.0"})
    await stack.queues.publish(model, later[:-1], {"deployment": "gateway-2.0"})
    worker = await stack.worker("lisette", model=model)
    letters = [each for each in await desk.arrived(2, kind="undecodable") if each["body_bytes"] in _sizes(later)]
    assert len(letters) == 2
    letter = letters[-1]
    assert (await desk.opened(letter))["reason"] == "undecodable"
    assert "darkroom.render.v9" in letter["error"]["message"]
    hidden = await desk.revealed(letter)
    assert (hidden["text"], hidden["headers"]["deployment"]) == (later.decode(), "gateway-2.0")
    assert (hidden["message"], hidden["x_death"][0]["reason"]) == (None, "rejected")

    await desk.run("dead-letters", "list", "--kind", "undecodable")
    await desk.run("dead-letters", "reveal", letter["id"], "--reason", "who sent it?")
    await desk.run("dead-letters", "replay", letter["id"], code=1)
    assert await desk.refusal(f"{LETTERS}/{letter['id']}/replay", reason=REASON) == (
        409,
        "conflict",
        "The message can't be decoded, so there is no job to replay; fix the program that sent it.",
    )
    (job,) = await client.succeeded(job_id, seconds=120)
    assert (job.generation, job.attempt) == (1, 1)

    scope = {"ids": [each["id"] for each in letters]}
    counted = await desk.post(f"{LETTERS}/discard", scope=scope, reason="gateway 2.0 was rolled back", dry_run=True)
    assert counted["count"] == 2
    assert (await desk.refusal(f"{LETTERS}/discard", scope=scope, reason=REASON, count=3))[1] == "count_differs"
    rolled_back = ("--kind", "undecodable", "--since", "2h", "--reason", "gateway 2.0 was rolled back")
    await desk.confirm(2, "dead-letters", "discard", *rolled_back)
    assert await desk.letters(kind="undecodable") == []
    await desk.closed(letter)
    assert await worker.stop() == 0


def _sizes(body: bytes) -> set[int]:
    return {len(body), len(body) - 1}


async def test_a_backup_was_restored_and_left_orphans(
    start_stack: StackFactory, tmp_path: Path, said: list[Said]
) -> None:
    """Bulk acts leave them out unless their kind is named; replayed, each job is made again under its old id."""
    stack = await start_stack()
    async with await stack.client() as client:
        await back_up(stack.places.database_url, tmp_path / "backup")
        young = [await client.submit(MODEL) for _ in range(3)]

        async def published() -> bool:
            return await stack.ledger.count("outbox") == 0

        await eventually(published, what="all messages are in the queue")
        await restore(stack.places.database_url, tmp_path / "backup")
        await stack.worker("one")

    # The backup is older than the operators' key and their endpoint.
    async with open_desk(stack) as desk, await stack.client() as client:
        desk.said = said
        letters = await desk.arrived(3, kind="orphan")
        assert {each["job_id"] for each in letters} == set(young)
        assert {(each["reason"], each["model"]) for each in letters} == {("orphan", MODEL)}
        [letter, *_] = letters
        shown = await desk.shown(letter)
        assert (shown["job_status"], shown["attempts"]) == (None, [])
        await desk.run("dead-letters", "list", "--kind", "orphan")
        await desk.run("dead-letters", "show", letter["id"])
        await desk.refuse("dead-letters", "replay", "--group", letter["group_id"])
        scope = {"group": letter["group_id"]}
        assert (await desk.planned(scope=scope))["items"]["pending"] == 0
        planned = await desk.planned(scope=scope | {"kind": "orphan"})
        assert planned["verdicts"] == {"will replay": 3}
        await desk.confirm(3, "dead-letters", "replay", "--kind", "orphan", "--pace", "10")
        (finished,) = (await desk.get(REPLAYS, limit=1))["replays"]
        assert finished["items"]["succeeded"] == 3
        jobs = await client.succeeded(*young)
        assert [job.generation for job in jobs] == [2, 2, 2]
        await desk.group(letter, opened=0)


async def test_rabbitmq_gave_a_message_up_at_its_delivery_limit(desk: Desk, stack: Stack, client: Client) -> None:
    """The job failed without an attempt. What took its message is found and stopped; then the letter is replayed."""
    model = stack.spare_model()
    job_id = await client.submit(model)
    async with stack.queues.channel() as channel:
        queue = await channel.get_queue(work_queue(model))

        async def worn_out() -> bool:
            message = await queue.get(fail=False)
            if message is not None:
                await message.nack(requeue=True)
            return (await client.job(job_id)).status == "failed"

        await eventually(worn_out, seconds=60, what="the broker gives the message up")
    letter = await desk.letter(job=job_id)
    assert (await desk.opened(letter))["reason"] == "delivery_limit"
    assert (letter["worker"], letter["attempts"]) == (None, [])
    assert letter["error"]["message"] == "The broker reached the delivery limit of the job's message."
    hidden = await desk.revealed(letter)
    assert hidden["x_death"][0]["reason"] == "delivery_limit"
    assert hidden["x_death"][0]["queue"] == work_queue(model)
    assert {each["kind"] for each in (await desk.group(letter))["suspects"]} == {"scheduler", "size"}

    await desk.run("dead-letters", "show", letter["id"])
    worker = await stack.worker("meridel", model=model)
    await desk.run("dead-letters", "replay", letter["id"], "--reason", "the consumer of yesterday is stopped")
    (job,) = await client.succeeded(job_id)
    assert (job.generation, job.attempt) == (2, 1)
    await desk.closed(letter)
    assert await worker.stop() == 0


async def test_somebody_forges_messages(desk: Desk, stack: Stack, client: Client) -> None:
    """No job of another tenant changes; what the message says is shown as text, and is discarded."""
    model = stack.spare_model()
    job_id = await client.submit(model)
    message = decode_render(await take(stack, model))
    assert isinstance(message, v2.Render)
    async with await stack.client("mallory") as other:
        await other.submit(model)
        own = decode_render(await take(stack, model))
        assert isinstance(own, v2.Render)
    wanted = msgspec.structs.replace(message.input, prompt="\u202egnp.exe\x1b[2J")
    forged = msgspec.structs.replace(message, tenant_id=own.tenant_id, input=wanted)
    await stack.queues.publish("", encode_render(forged), _death(model), exchange=DEAD_EXCHANGE)
    (letter,) = await desk.arrived(1, kind="undecodable", text=f"names job {job_id} of another tenant")
    assert letter["error"]["message"] == f"The message names job {job_id} of another tenant."
    assert letter["tenant"] is None
    assert (await client.job(job_id)).status == "queued"
    await desk.opened(letter)
    hidden = await desk.revealed(letter)
    assert hidden["message"]["input"]["prompt"] == wanted.prompt
    assert (await desk.refusal(f"{LETTERS}/{letter['id']}/replay"))[0] == 409

    await desk.run("dead-letters", "show", letter["id"])
    await desk.run("dead-letters", "reveal", letter["id"], "--reason", "what is it")
    await desk.run("dead-letters", "discard", letter["id"], "--reason", "forged; the password of RabbitMQ is changed")
    await desk.becomes(letter, "discarded")
    await desk.closed(letter)
    assert (await client.job(job_id)).status == "queued"


def _death(model: str) -> dict[str, Any]:
    """Return a forged record of a death at the delivery limit."""
    return {"x-death": [{"reason": "delivery_limit", "queue": work_queue(model), "count": 1}]}
