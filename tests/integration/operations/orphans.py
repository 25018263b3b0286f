"""Dead letters of messages whose job is unknown."""

from datetime import timedelta
from typing import Any

from chassis.postgres import Database
from operations.letters.ingest import Ingested, ingest
from tests.integration.operations.jobs import Jobs, complete_message
from tests.support.ids import aged_id

DELIVERY_LIMIT = {"x-death": [{"reason": "delivery_limit", "queue": "darkroom.render.tiny.v1", "count": 1}]}
REJECTED = {"x-death": [{"reason": "rejected", "queue": "darkroom.render.tiny.v1", "count": 1}]}


async def record_orphan(pool: Database, jobs: Jobs, **changes: Any) -> Any:
    """Ingest a message whose job is unknown, and return its dead letter."""
    job_id = changes.pop("job_id", None) or aged_id(timedelta(hours=3))
    instance_id = await jobs.value("SELECT id FROM instance")
    body = complete_message(job_id, **({"tenant": jobs.tenant, "instance_id": instance_id} | changes))
    assert await ingest(pool, body, REJECTED) is Ingested.ORPHANED
    return await jobs.letter(job_id)
