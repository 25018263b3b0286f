"""A job is deleted while a zombie still holds its rendered picture."""

import pytest

from tests.support.http_client import Client
from tests.support.stack import WARM_SECONDS, Stack
from tests.support.waiting import eventually

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]
LOOK_NOW = "UPDATE object_sweeps SET due_at = now() WHERE job_id = $1::text::uuid RETURNING job_id"


@pytest.mark.long
async def test_a_frozen_worker_s_late_upload_is_swept(stack: Stack, client: Client) -> None:
    """What it stores after the deletion goes too: a deleted job's pictures are looked for until none comes any more."""
    model = stack.spare_model()
    zombie = stack.launch_worker("uploader", model=model, fault=("freeze", "before_upload"))
    await zombie.ready(WARM_SECONDS)
    job_id = await client.submit(model, steps=5)
    await eventually(lambda: zombie.frozen, seconds=60, what="the worker froze with a rendered picture")
    heir = await stack.worker("heir-of-uploads", model=model)
    await client.succeeded(job_id)
    (picture,) = stack.pictures(job_id)

    assert (await client.delete(job_id)).status_code == 204
    assert (await client.get(f"/v1/jobs/{job_id}")).status_code == 410
    await eventually(lambda: not stack.pictures(job_id), seconds=30, what="the picture went")
    zombie.thaw()
    await eventually(lambda: stack.pictures(job_id) == [picture], seconds=30, what="the zombie uploaded it again")
    assert len(await stack.ledger.rows(LOOK_NOW, job_id)) == 1
    await eventually(lambda: not stack.pictures(job_id), seconds=30, what="the late picture went, too")
    assert (await client.get(f"/v1/jobs/{job_id}")).status_code == 410
    assert (await client.post(f"/v1/jobs/{job_id}/retry")).status_code == 410
    assert await zombie.stop() == await heir.stop() == 0
