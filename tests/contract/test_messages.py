"""Released messages never change: their bytes are pinned here and must always decode."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from darkroom_contracts.api import JobInput
from darkroom_contracts.messages import decode_render, encode_render, v2
from darkroom_contracts.messages.v1 import (
    CONTENT_TYPE,
    Preview,
    Progress,
    Render,
    UndecodableMessageError,
    decode_live,
    decode_preview,
    decode_progress,
    encode,
)
from darkroom_contracts.webhooks import WebhookEvent
from tests.support.messages import JOB_ID, RENDER_BYTES, TRACEPARENT

RENDER = Render(JOB_ID, 2, "tiny", TRACEPARENT)
TENANT_ID = UUID("01993b5c-0000-7000-8000-000000000002")
INSTANCE_ID = UUID("01993b5c-0000-7000-8000-000000000003")
AT = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
COMPLETE = v2.Render(
    job_id=JOB_ID,
    generation=2,
    model="tiny",
    model_revision="0123456789abcdef0123456789abcdef01234567",
    tenant_id=TENANT_ID,
    user_id="ada",
    key_id="AbCdEfGhIjKl",
    input=JobInput("a lighthouse", "", 20, 7.5, "ddim", 64, 64, 7, 1, "png"),
    webhook_url="https://example.com/hook",
    webhook_events=(WebhookEvent.SUCCEEDED,),
    metadata={"for": "Ada"},
    cost=81920,
    created_at=AT,
    expires_at=AT,
    ttl_seconds=3600,
    deadline_seconds=7200,
    deadline_at=AT,
    max_attempts=4,
    retried_from=TENANT_ID,
    idempotency_key="k-1",
    body_hash=b"\x00" * 3,
    instance_id=INSTANCE_ID,
    stamped_at=AT,
    traceparent=TRACEPARENT,
)
COMPLETE_BYTES = (
    b'{"type":"darkroom.render.v2","job_id":"01993b5c-0000-7000-8000-000000000001","generation":2,"model":"tiny",'
    b'"model_revision":"0123456789abcdef0123456789abcdef01234567","tenant_id":"01993b5c-0000-7000-8000-000000000002",'
    b'"user_id":"ada","key_id":"AbCdEfGhIjKl","input":{"prompt":"a lighthouse","negative_prompt":"",'
    b'"num_inference_steps":20,"guidance_scale":7.5,"scheduler":"ddim","width":64,"height":64,"seed":7,"num_images":1,'
    b'"output_format":"png","preview_every":0},"webhook_url":"https://example.com/hook",'
    b'"webhook_events":["job.succeeded"],"metadata":{"for":"Ada"},"priority":0,"cost":81920,'
    b'"created_at":"2026-11-25T12:00:00Z","expires_at":"2026-11-25T12:00:00Z","ttl_seconds":3600,'
    b'"deadline_seconds":7200,"deadline_at":"2026-11-25T12:00:00Z","max_attempts":4,'
    b'"retried_from":"01993b5c-0000-7000-8000-000000000002","idempotency_key":"k-1","body_hash":"AAAA",'
    b'"instance_id":"01993b5c-0000-7000-8000-000000000003","stamped_at":"2026-11-25T12:00:00Z",'
    b'"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}'
)
PROGRESS = Progress(JOB_ID, 2, 1, 7, 20)
PROGRESS_BYTES = (
    b'{"type":"darkroom.progress.v1","job_id":"01993b5c-0000-7000-8000-000000000001","generation":2,"attempt":1,'
    b'"step":7,"steps":20}'
)
PREVIEW = Preview(JOB_ID, 2, 1, 7, 8, 6, b"\x89PNG")
PREVIEW_BYTES = (
    b'{"type":"darkroom.preview.v1","job_id":"01993b5c-0000-7000-8000-000000000001","generation":2,"attempt":1,'
    b'"step":7,"width":8,"height":6,"png":"iVBORw=="}'
)


@pytest.mark.parametrize(
    ("message", "body"), [(RENDER, RENDER_BYTES), (PROGRESS, PROGRESS_BYTES), (PREVIEW, PREVIEW_BYTES)]
)
def test_the_bytes_of_every_message_are_pinned(message: Render | Progress | Preview, body: bytes) -> None:
    """A message is encoded to exactly these bytes."""
    assert encode(message) == body


def test_the_bytes_of_a_complete_message_are_pinned() -> None:
    """A render message of version 2 is encoded to exactly these bytes, and decodes from them."""
    assert encode_render(COMPLETE) == COMPLETE_BYTES
    assert decode_render(COMPLETE_BYTES) == COMPLETE


def test_released_bytes_decode() -> None:
    """The bytes of every released message decode to the same values."""
    assert decode_render(RENDER_BYTES) == RENDER
    assert decode_progress(PROGRESS_BYTES) == PROGRESS
    assert decode_preview(PREVIEW_BYTES) == PREVIEW
    assert [decode_live(body) for body in (PROGRESS_BYTES, PREVIEW_BYTES)] == [PROGRESS, PREVIEW]


def test_a_field_of_a_later_release_is_ignored() -> None:
    """An older reader ignores the fields of a newer writer."""
    assert decode_render(RENDER_BYTES[:-1] + b',"priority":5}') == RENDER


def test_the_content_type_is_json() -> None:
    """The content type of messages is JSON."""
    assert CONTENT_TYPE == "application/json"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff\xfe\x00", id="not text"),
        pytest.param(b'{"type":"darkroom.render.v1"', id="cut off"),
        pytest.param(b"[" * 100_000, id="deep nesting"),
        pytest.param(b'{"a":' * 100_000, id="deep objects"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[]", id="another shape"),
        pytest.param(RENDER_BYTES.replace(b".v1", b".v3"), id="unknown version"),
        pytest.param(RENDER_BYTES.replace(b'"type":"darkroom.render.v1",', b""), id="no tag"),
        pytest.param(PROGRESS_BYTES, id="another message"),
        pytest.param(RENDER_BYTES.replace(b'"generation":2,', b""), id="missing field"),
        pytest.param(RENDER_BYTES.replace(b'"generation":2', b'"generation":"2"'), id="wrong type"),
        pytest.param(RENDER_BYTES.replace(b'"generation":2', b'"generation":0'), id="generation too small"),
        pytest.param(RENDER_BYTES.replace(b'"generation":2', b'"generation":2147483648'), id="generation too large"),
        pytest.param(RENDER_BYTES.replace(b"01993b5c-", b"x"), id="no uuid"),
        pytest.param(RENDER_BYTES.replace(b'"tiny"', b'"\xed\xa0\x80"'), id="lone surrogate"),
        pytest.param(RENDER_BYTES.replace(b'"tiny"', b'"t\\u0000"'), id="NUL"),
        pytest.param(RENDER_BYTES.replace(b".v1", b".v2"), id="incomplete"),
        pytest.param(COMPLETE_BYTES.replace(b'"ada"', b'"a\\u0000"'), id="NUL in a complete one"),
        pytest.param(
            COMPLETE_BYTES.replace(b'"stamped_at":"2026-11-25T12:00:00Z"', b'"stamped_at":"2026-11-25T12:00:00"'),
            id="a naive time",
        ),
    ],
)
def test_what_is_no_message_is_undecodable(body: bytes) -> None:
    """Malformed JSON, other versions and wrong fields raise the same error, with a reason."""
    with pytest.raises(UndecodableMessageError) as raised:
        decode_render(body)
    assert raised.value.reason
