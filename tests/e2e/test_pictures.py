"""A prompt in, a picture out, over HTTP and through every service."""

import hashlib
from io import BytesIO

import pytest
from PIL import Image

from darkroom_contracts.states import JobStatus
from tests.support.http_client import Client
from tests.support.stack import MODEL

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("workers")]


async def test_a_prompt_becomes_a_picture(client: Client) -> None:
    """A posted prompt is accepted at once, rendered, and served as a PNG that tells how it was made."""
    answer = await client.post(
        "/v1/jobs",
        json={
            "model": MODEL,
            "input": {
                "prompt": "two green squares",
                "negative_prompt": "a circle",
                "num_inference_steps": 5,
                "width": 128,
                "height": 64,
                "seed": 42,
            },
            "metadata": {"order": "7"},
        },
    )
    assert answer.status_code == 202
    assert answer.json()["status"] == JobStatus.QUEUED
    assert answer.headers["location"] == f"/v1/jobs/{answer.json()['id']}"
    assert int(answer.headers["retry-after"]) >= 1

    (job,) = await client.succeeded(answer.json()["id"])
    (output,) = job.outputs
    picture = await client.download(output)
    assert picture.status_code == 200
    assert picture.headers["content-type"] == output.content_type == "image/png"
    assert hashlib.sha256(picture.content).hexdigest() == output.sha256
    assert len(picture.content) == output.size_bytes
    with Image.open(BytesIO(picture.content)) as image:
        assert image.format == "PNG"
        assert image.size == (output.width, output.height) == (128, 64)
        told = image.info["parameters"]
    assert told.startswith("two green squares\nNegative prompt: a circle\n")
    assert "Steps: 5" in told
    assert "Seed: 42" in told
    assert "Size: 128x64" in told


async def test_a_finished_job_tells_its_story(client: Client) -> None:
    """The job's view holds its timestamps in order, its attempt, its receipt and how long each stage took."""
    (job,) = await client.succeeded(await client.submit(MODEL, steps=3, seed=1))
    assert job.started_at is not None
    assert job.completed_at is not None
    assert job.created_at <= job.queued_at <= job.started_at <= job.completed_at < job.expires_at
    assert (job.attempt, job.generation, job.queue_position) == (1, 1, None)
    assert job.receipt is not None
    assert (job.receipt.device, job.receipt.dtype, job.receipt.scheduler) == ("cpu", "float32", "ddim")
    assert "torch" in job.receipt.versions
    assert job.metrics.queue_ms is not None
    assert job.metrics.inference_ms is not None
    assert job.metrics.inference_ms > 0
    assert job.metrics.store_ms is not None


async def test_a_seed_decides_the_picture(client: Client) -> None:
    """The same request with the same seed gives the same bytes, whichever worker renders it; another seed others."""
    same = [await client.submit(MODEL, seed=5) for _ in range(4)]
    other = await client.submit(MODEL, seed=6)
    *equal, different = await client.succeeded(*same, other)
    digests = {job.outputs[0].sha256 for job in equal}
    assert len(digests) == 1
    assert different.outputs[0].sha256 not in digests


async def test_a_job_without_a_seed_tells_the_one_it_got(client: Client) -> None:
    """The seed that a job was given makes the same picture when it is asked for."""
    (job,) = await client.succeeded(await client.submit(MODEL))
    (again,) = await client.succeeded(await client.submit(MODEL, seed=job.input.seed))
    assert again.outputs[0].sha256 == job.outputs[0].sha256


async def test_a_job_of_several_pictures(client: Client) -> None:
    """Each picture of a job has its own index, seed and bytes."""
    (job,) = await client.succeeded(await client.submit(MODEL, seed=10, num_images=3))
    assert [(output.index, output.seed) for output in job.outputs] == [(0, 10), (1, 11), (2, 12)]
    assert len({output.sha256 for output in job.outputs}) == 3


async def test_a_canceled_render_stops(client: Client) -> None:
    """Canceling a running job ends it long before its render would have ended, and leaves no picture."""
    job_id = await client.submit(MODEL, steps=400)
    await client.rendering(job_id)
    assert (await client.cancel(job_id)).status_code == 200
    job = await client.finished(job_id, seconds=5)
    assert job.status == JobStatus.CANCELED
    assert job.outputs == []
    assert (await client.cancel(job_id)).status_code == 200
