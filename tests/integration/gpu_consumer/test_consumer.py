"""The way of a job through the consumer, on real parts and the real render process."""

import msgspec
from contracts.api import Receipt

from tests.integration.gpu_consumer.line import Line
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
