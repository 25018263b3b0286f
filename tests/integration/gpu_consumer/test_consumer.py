"""The way of a job through the consumer, on real parts and the real render process."""

import asyncio
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from aio_pika.abc import AbstractQueue
from PIL import Image

from chassis.broker import Broker
from chassis.publishing import Announcer
from darkroom_contracts.api import Receipt
from darkroom_contracts.messages.v1 import Preview, Progress, UndecodableMessageError, decode_preview, decode_progress
from darkroom_contracts.topology import EVENTS_EXCHANGE
from gpu_consumer.job.progress import ProgressFeed
from gpu_consumer.renderer.process import RenderProcess
from tests.integration.gpu_consumer.line import Line
from tests.integration.gpu_consumer.workshop import Workshop
from tests.support.models import job_input
from tests.support.waiting import eventually


async def test_a_job_is_rendered_stored_and_settled(line: Line) -> None:
    """A job's pictures, receipt, metrics and attempt are recorded, its message is gone, its objects are there."""
    shop = line.workshop
    line.start()
    job_id = await shop.submit(job_input(num_images=2))
    job = await shop.reached(job_id, "succeeded")

    outputs = msgspec.json.decode(job["outputs"])
    assert [output["seed"] for output in outputs] == [7, 8]
    assert sorted(shop.bucket.object_keys()) == sorted(output["key"] for output in outputs)
    receipt = msgspec.json.decode(job["receipt"], type=Receipt)
    assert (receipt.device, receipt.tiled) == ("cpu", False)
    assert receipt.batch_size >= 1
    assert [(picture.seed, picture.sha256) for picture in receipt.pictures] == [
        (output["seed"], output["sha256"]) for output in outputs
    ]
    assert msgspec.json.decode(job["metrics"]).keys() == {"inference_ms", "store_ms"}
    assert await shop.outcomes(job_id) == ["succeeded"]
    await eventually(shop.queues_are_empty)


async def holds(queue: AbstractQueue, count: int) -> bool:
    """Return whether `count` messages wait in the queue."""
    declared = await queue.channel.declare_queue(queue.name, passive=True)
    return declared.declaration_result.message_count == count


async def test_the_latest_step_is_announced_to_whoever_listens(workshop: Workshop) -> None:
    """Steps that come faster than they are published are skipped; the message is transient."""
    broker = Broker(workshop.environment["DARKROOM_AMQP_URL"], "test")
    channel = await broker.channel()
    queue = await channel.declare_queue(exclusive=True)
    job_id = uuid4()
    await queue.bind(EVENTS_EXCHANGE, f"job.{job_id}")
    feed = ProgressFeed(Announcer(broker))
    feed.report(Progress(job_id, 1, 1, step=1, steps=20))
    feed.report(Progress(job_id, 1, 1, step=2, steps=20))
    await feed.run_once()
    await feed.run_once()
    await eventually(lambda: holds(queue, 1))
    message = await queue.get(timeout=5, no_ack=True)
    assert decode_progress(message.body) == Progress(job_id, 1, 1, step=2, steps=20)
    assert message.delivery_mode == 1
    assert await queue.get(fail=False, no_ack=True) is None
    await broker.close()


async def test_previews_are_shown_to_whoever_listens(line: Line) -> None:
    """Previews of a job that asks for them are published as live events, as valid PNGs."""
    shop = line.workshop
    broker = Broker(shop.environment["DARKROOM_AMQP_URL"], "test")
    channel = await broker.channel()
    queue = await channel.declare_queue(exclusive=True)
    await queue.bind(EVENTS_EXCHANGE, "job.*")
    publishing = asyncio.create_task(line.app.feed.run())
    line.start()
    job_id = await shop.submit(job_input(num_inference_steps=40, preview_every=2))
    await shop.reached(job_id, "succeeded")
    previews = [preview async for preview in _previews(queue)]
    publishing.cancel()
    await broker.close()
    assert previews
    for preview in previews:
        assert (preview.job_id, preview.generation, preview.attempt) == (job_id, 1, 1)
        assert preview.step % 2 == 0
        with Image.open(BytesIO(preview.png)) as picture:
            picture.load()
            assert picture.size == (preview.width, preview.height) == (8, 8)


async def _previews(queue: AbstractQueue) -> AsyncIterator[Preview]:
    """Yield the previews that wait in the queue."""
    while (message := await queue.get(fail=False, no_ack=True)) is not None:
        try:
            yield decode_preview(message.body)
        except UndecodableMessageError:
            decode_progress(message.body)


async def test_a_job_renders_while_nobody_can_be_told(line: Line) -> None:
    """Progress is best effort: a broker that does not take it costs a render nothing."""
    feed = ProgressFeed(Announcer(Broker("amqp://guest:guest@127.0.0.1:1/", "nowhere")))
    feed.report(Progress(uuid4(), 1, 1, step=1, steps=20))
    await feed.run_once()
    line.start()
    await line.workshop.reached(await line.workshop.submit(), "succeeded")


async def test_a_render_process_that_dies_after_its_answer_costs_nothing(
    line: Line, warm_process: RenderProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finished render is stored and settled although its process has died."""
    render = warm_process.render

    async def render_and_be_lost(*arguments: Any, **named: Any) -> object:
        answer = await render(*arguments, **named)
        monkeypatch.setattr(warm_process, "_ready", None)
        return answer

    monkeypatch.setattr(warm_process, "render", render_and_be_lost)
    line.start()
    job_id = await line.workshop.submit()
    await line.workshop.reached(job_id, "succeeded")
    assert not line.app.gate.is_open
