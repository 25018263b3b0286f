"""The JSON that clients send and read."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from darkroom_contracts.api import (
    CancelReply,
    Execution,
    Job,
    JobError,
    JobInput,
    JobMetrics,
    JobProgress,
    JobRequest,
    Output,
    Problem,
    Receipt,
)
from darkroom_contracts.objects import CONTENT_TYPES, EXTENSIONS, output_key
from darkroom_contracts.routes import job_urls
from darkroom_contracts.states import TERMINAL, JobStatus
from darkroom_contracts.webhooks import TERMINAL_EVENTS, WebhookEvent

JOB_ID = UUID("01993b5c-0000-7000-8000-000000000001")
AT = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SHA256 = "0" * 64

EXECUTION = Execution(
    layout="contiguous",
    compiled=[],
    cuda_graphs=False,
    attention="AttnProcessor2_0",
    tf32_convolutions=False,
    tf32_products=False,
    cpu_capability="AVX2",
    cpu_threads=2,
)
JOB = Job(
    id=JOB_ID,
    status=JobStatus.SUCCEEDED,
    model="tiny",
    input=JobInput("a lighthouse", "", 20, 7.5, "ddim", 64, 64, 7, 1, "png"),
    created_at=AT,
    queued_at=AT,
    started_at=AT,
    completed_at=AT,
    expires_at=AT,
    attempt=1,
    max_attempts=4,
    progress=JobProgress(20, 20, 1.0),
    outputs=[
        Output(
            index=0,
            content_type="image/png",
            width=64,
            height=64,
            size_bytes=9,
            sha256=SHA256,
            seed=7,
            link="http://edge/v1/jobs/1/outputs/0",
            url="http://edge/p.png",
            url_expires_at=AT,
        )
    ],
    receipt=Receipt("r", "ddim", "float32", "cpu", {"torch": "2"}, vae_dtype="float32", execution=EXECUTION),
    metrics=JobMetrics(1.5, 2.5, 3.5),
    metadata={"for": "Ada"},
    urls=job_urls(JOB_ID),
)
JOB_JSON = (
    b'{"id":"01993b5c-0000-7000-8000-000000000001","status":"succeeded","version":1,"model":"tiny",'
    b'"input":{"prompt":"a lighthouse","negative_prompt":"","num_inference_steps":20,"guidance_scale":7.5,'
    b'"scheduler":"ddim","width":64,"height":64,"seed":7,"num_images":1,"output_format":"png",'
    b'"preview_every":0},"edits":null,"created_at":"2026-11-21T12:00:00Z",'
    b'"queued_at":"2026-11-21T12:00:00Z","started_at":"2026-11-21T12:00:00Z","completed_at":"2026-11-21T12:00:00Z",'
    b'"expires_at":"2026-11-21T12:00:00Z","deadline_at":null,"queue_position":null,"estimated_start_at":null,"attempt":1,"max_attempts":4,'
    b'"generation":1,"next_attempt_at":null,"worker_session":null,"progress":{"step":20,"steps":20,"value":1.0},"outputs":[{"index":0,'
    b'"content_type":"image/png","width":64,"height":64,"size_bytes":9,"sha256":"' + SHA256.encode() + b'","seed":7,'
    b'"link":"http://edge/v1/jobs/1/outputs/0","url":"http://edge/p.png","url_expires_at":"2026-11-21T12:00:00Z"}],"outputs_removed_at":null,"error":null,'
    b'"dead_lettered":false,'
    b'"receipt":{"model_revision":"r","scheduler":"ddim","dtype":"float32","device":"cpu","versions":{"torch":"2"},'
    b'"manifest_sha256":null,"batch_size":1,"tiled":false,"vae_dtype":"float32","execution":{"layout":"contiguous",'
    b'"compiled":[],"cuda_graphs":false,"attention":"AttnProcessor2_0","tf32_convolutions":false,'
    b'"tf32_products":false,"cpu_capability":"AVX2","cpu_threads":2},"pictures":[]},'
    b'"metrics":{"queue_ms":1.5,"inference_ms":2.5,"store_ms":3.5},"metadata":{"for":"Ada"},"user_id":null,"retried_from":null,'
    b'"urls":{"self":"/v1/jobs/01993b5c-0000-7000-8000-000000000001",'
    b'"cancel":"/v1/jobs/01993b5c-0000-7000-8000-000000000001/cancel",'
    b'"retry":"/v1/jobs/01993b5c-0000-7000-8000-000000000001/retry"}}'
)


def test_a_job_s_json_is_pinned() -> None:
    """A job is encoded with every field under these names, absent values as null."""
    assert msgspec.json.encode(JOB) == JOB_JSON
    assert msgspec.json.decode(JOB_JSON, type=Job) == JOB


@pytest.mark.parametrize(
    ("body", "json"),
    [
        (JobError("c", "m", retryable=True), b'{"code":"c","message":"m","retryable":true}'),
        (
            JobError("c", "m", retryable=False, stage="render"),
            b'{"code":"c","message":"m","retryable":false,"stage":"render"}',
        ),
        (Problem("t", "T", 404, "c"), b'{"type":"t","title":"T","status":404,"code":"c"}'),
        (
            Problem("t", "T", 422, "c", "d", "input.width"),
            b'{"type":"t","title":"T","status":422,"code":"c","detail":"d","field":"input.width"}',
        ),
        (
            CancelReply(JOB_ID, JobStatus.CANCELED),
            b'{"id":"01993b5c-0000-7000-8000-000000000001","status":"canceled","cancel_requested_at":null}',
        ),
    ],
)
def test_the_small_bodies_are_pinned(body: msgspec.Struct, json: bytes) -> None:
    """Errors, problems and cancel replies keep their form."""
    assert msgspec.json.encode(body) == json


def _request(**more: Any) -> bytes:
    return msgspec.json.encode({"input": {"prompt": "x"}} | more)


def _input(**more: Any) -> bytes:
    return _request(input={"prompt": "x"} | more)


def test_a_final_line_break_is_refused_where_the_end_is_bounded() -> None:
    """Python's `$` alone would let it pass."""
    for body in (_request(metadata={"a\n": ""}), _request(webhook_url="https://example.com/hook\n")):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(body, type=JobRequest)


def test_the_smallest_request_takes_the_defaults() -> None:
    """A prompt is enough: the model has default numbers, and webhooks report every end."""
    request = msgspec.json.decode(_request(), type=JobRequest)
    assert (request.model, request.ttl_seconds, request.metadata, request.webhook_url) == (None, 86_400, {}, None)
    assert request.webhook_events == ("job.canceled", "job.expired", "job.failed", "job.succeeded")
    assert (request.input.width, request.input.num_images, request.input.output_format) == (None, 1, "png")


@pytest.mark.parametrize(
    "body",
    [
        _request(surprise=1),
        _input(surprise=1),
        _input(prompt=""),
        _input(prompt="a\x00b"),
        _input(prompt="x" * 4001),
        _input(negative_prompt="\x00"),
        _input(width=0),
        _input(width=8193),
        _input(width="64"),
        _input(num_inference_steps=0),
        _input(num_inference_steps=10**30),
        _input(guidance_scale=-1),
        _input(seed=2**32),
        _input(seed=-1),
        _input(num_images=17),
        _input(output_format="gif"),
        _request(ttl_seconds=0),
        _request(ttl_seconds=8 * 24 * 3600),
        _request(webhook_url="ftp://example.com"),
        _request(webhook_url="https://user:secret@example.com/"),
        _request(webhook_url="https://example.com/\x00"),
        _request(webhook_events=[]),
        _request(webhook_events=["job.vanished"]),
        _request(metadata={"k": "\x00"}),
        _request(metadata={"a b": "v"}),
        _request(metadata={"k\n": "v"}),
        _request(metadata={str(n): "v" for n in range(17)}),
        _request(metadata={"k": "x" * 501}),
    ],
)
def test_a_request_out_of_bounds_is_refused(body: bytes) -> None:
    """The decoder refuses wrong, unknown and unbounded values."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(body, type=JobRequest)


@pytest.mark.parametrize(
    "body",
    [
        _input(prompt="x" * 4000),
        _input(prompt="two\nlines \N{SNOWMAN}"),
        _input(width=8, height=8192, seed=2**32 - 1, num_images=16, guidance_scale=0),
        _request(webhook_url="http://localhost:9000"),
        _request(webhook_url="https://example.com/hook?q=1"),
        _request(metadata={"a.b-c_D": ""}),
        _request(webhook_events=["job.started"]),
    ],
)
def test_a_request_within_bounds_is_taken(body: bytes) -> None:
    """Bounds are inclusive."""
    assert isinstance(msgspec.json.decode(body, type=JobRequest), JobRequest)


def test_the_webhook_events_are_named_once() -> None:
    """There is an event for the start and for each end of a job, and the default is every end."""
    assert {str(event) for event in WebhookEvent} == {"job.started", *(f"job.{status}" for status in TERMINAL)}
    assert TERMINAL_EVENTS == ("job.canceled", "job.expired", "job.failed", "job.succeeded")


def test_the_keys_of_objects_are_pinned() -> None:
    """The key of a picture has its job, index, digest and the extension of its format."""
    assert output_key(JOB_ID, 3, SHA256, "jpeg") == f"jobs/{JOB_ID}/3-{SHA256}.jpg"
    assert set(EXTENSIONS) == set(CONTENT_TYPES) == {"png", "jpeg", "webp"}
