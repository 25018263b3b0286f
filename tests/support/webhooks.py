"""Webhooks as Darkroom sends them."""

import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

from darkroom_contracts.api import EventJob, JobInput, JobMetrics, JobProgress, KeptOutput, Receipt, encode
from darkroom_contracts.routes import job_urls
from darkroom_contracts.states import JobStatus
from darkroom_contracts.webhooks import WebhookEvent
from darkroom_contracts.webhooks.payload import JobEvent
from darkroom_contracts.webhooks.signing import (
    ID_HEADER,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    encode_key,
    signature_header,
)

SECRET = encode_key(b"s" * 32)
OTHER_SECRET = encode_key(b"o" * 32)
DELIVERY_ID = "01993b5c-0007-7000-8000-00000000000d"
JOB_ID = UUID("01993b5c-0000-7000-8000-000000000001")
AT = datetime(2026, 11, 21, 12, tzinfo=UTC)

SUCCEEDED = JobEvent(
    type=WebhookEvent.SUCCEEDED,
    timestamp=AT + timedelta(seconds=9),
    data=EventJob(
        id=JOB_ID,
        status=JobStatus.SUCCEEDED,
        version=3,
        model="shapes",
        input=JobInput("three red circles", "", 20, 7.5, "ddim", 64, 64, 7, 1, "png"),
        created_at=AT,
        queued_at=AT,
        started_at=AT + timedelta(seconds=2),
        completed_at=AT + timedelta(seconds=9),
        expires_at=AT + timedelta(hours=1),
        attempt=1,
        max_attempts=4,
        progress=JobProgress(20, 20, 1.0),
        outputs=[
            KeptOutput(
                index=0,
                content_type="image/png",
                width=64,
                height=64,
                size_bytes=7168,
                sha256="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                seed=7,
                link=f"https://darkroom.example.com/v1/jobs/{JOB_ID}/outputs/0",
            )
        ],
        receipt=Receipt("5c1e0a7f", "ddim", "float16", "NVIDIA L4", {"torch": "2.13.0", "diffusers": "0.42.1"}),
        metrics=JobMetrics(queue_ms=2000.0, inference_ms=6400.0, store_ms=180.0),
        metadata={"order": "1234"},
        urls=job_urls(JOB_ID),
    ),
)
"""The event that docs/webhooks.md shows."""
BODY = encode(SUCCEEDED)


def signed(body: bytes = BODY, *secrets: str, delivery_id: str = DELIVERY_ID, seconds_ago: float = 0) -> dict[str, str]:
    """Return the headers of an attempt, signed by SECRET unless other secrets are given."""
    timestamp = int(time.time() - seconds_ago)
    return {
        "Content-Type": "application/json",
        ID_HEADER: delivery_id,
        TIMESTAMP_HEADER: str(timestamp),
        SIGNATURE_HEADER: signature_header(secrets or (SECRET,), delivery_id, timestamp, body),
    }
