"""The way of a job through the consumer, on real parts and the real render process."""

from uuid import uuid4

import msgspec
import pytest
from aio_pika.abc import AbstractQueue

from chassis.amqp import Announcer, Broker
from contracts.api import Receipt
from contracts.messages.v1 import Progress, decode_progress
from contracts.topology import EVENTS_EXCHANGE
from gpu_consumer.progress import ProgressFeed
from gpu_consumer.render.process import RenderProcess
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
    assert msgspec.json.decode(job["receipt"], type=Receipt).device == "cpu"
    assert msgspec.json.decode(job["metrics"]).keys() == {"inference_ms", "store_ms"}
    assert await shop.outcomes(job_id) == ["succeeded"]
    await eventually(shop.queues_are_empty)


async def holds(queue: AbstractQueue, count: int) -> bool:
    """Whether so many messages wait in the queue."""
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
    """What was rendered is stored and settled, though the process is gone by then."""
    render = warm_process.render

    async def render_and_be_lost(*arguments: object) -> object:
        answer = await render(*arguments)  # type: ignore[arg-type]
        monkeypatch.setattr(warm_process, "_ready", None)
        return answer

    monkeypatch.setattr(warm_process, "render", render_and_be_lost)
    line.start()
    job_id = await line.workshop.submit()
    await line.workshop.reached(job_id, "succeeded")
    assert not line.app.bench.gate.is_open
