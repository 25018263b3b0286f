"""POST /v1/jobs: what is recorded, and what is refused without being recorded."""

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import httpx2
import msgspec
import pytest

from darkroom_contracts.api import MAX_BODY_BYTES, Job
from darkroom_contracts.states import JobStatus
from tests.integration.gateway.clients import BODY, counts, submit

JSON = {"content-type": "application/json"}
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_an_accepted_job_is_recorded_whole(client: httpx2.AsyncClient, rows: asyncpg.Connection) -> None:
    """The response is the queued job, whose row and message exist by then."""
    body = {
        **BODY,
        "ttl_seconds": 60,
        "deadline_seconds": 90,
        "user_id": "ada",
        "metadata": {"order": "17"},
        "webhook_url": "https://example.com/hook",
        "webhook_events": ["job.started"],
    }
    headers = {"traceparent": TRACEPARENT, "Idempotency-Key": "k-1"}
    answer = await client.post("/v1/jobs", json=body, headers=headers)
    job = msgspec.json.decode(answer.content, type=Job)
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/v1/jobs/{job.id}" == job.urls.self
    assert answer.headers["retry-after"] == "1"
    assert (job.status, job.model, job.metadata) == (JobStatus.QUEUED, "tiny", {"order": "17"})
    assert job.expires_at - job.created_at == timedelta(seconds=60)

    row = await rows.fetchrow("SELECT * FROM jobs")
    assert (row["id"], row["created_at"], row["expires_at"]) == (job.id, job.created_at, job.expires_at)
    assert msgspec.convert(json.loads(row["input"]), type(job.input)) == job.input
    assert (row["webhook_url"], row["webhook_events"]) == ("https://example.com/hook", ["job.started"])
    assert (row["traceparent"], row["idempotency_key"], row["user_id"]) == (TRACEPARENT, "k-1", "ada")
    assert row["key_id"] == await rows.fetchval("SELECT id FROM api_keys")
    assert (row["cost"], row["priority"], row["queue"]) == (job.input.cost, 0, "tiny")
    assert row["deadline_at"] - row["created_at"] == timedelta(seconds=90)
    assert (job.deadline_at, job.user_id, job.version) == (row["deadline_at"], "ada", 1)
    message = await rows.fetchrow("SELECT job_id, generation, model, lane, created_at FROM outbox")
    assert tuple(message) == (job.id, 1, "tiny", None, row["announced_at"])


async def test_silence_takes_the_models_defaults(client: httpx2.AsyncClient) -> None:
    """An absent model is the catalogue's first, absent numbers are the model's, and the seed is random."""
    body = {"input": BODY["input"]}
    first, second = await submit(client, body), await submit(client, body)
    assert (first["model"], first["input"]["width"], first["input"]["scheduler"]) == ("shapes", 64, "ddim")
    assert first["input"]["seed"] != second["input"]["seed"]
    assert UUID(first["id"]).version == 7


BAD: dict[str, tuple[bytes | dict[str, Any], int, str, str | None]] = {
    "missing": ({"input": {}}, 422, "invalid_request", "input.prompt"),
    "unknown": ({"input": {"prompt": "x", "colour": "red"}}, 422, "invalid_request", "input.colour"),
    "beyond the schema": ({"input": {"prompt": "x", "seed": 2**32}}, 422, "invalid_request", "input.seed"),
    "beyond the model": ({"input": {"prompt": "x", "width": 1024}}, 422, "invalid_request", "input.width"),
    "unknown model": ({**BODY, "model": "none"}, 422, "invalid_request", "model"),
    "NUL": ({"input": {"prompt": "a\0b"}}, 422, "invalid_request", "input.prompt"),
    "lone surrogate": (b'{"input": {"prompt": "\\udfff"}}', 422, "invalid_request", "input.prompt"),
    "broken": (b'{"input": ', 400, "invalid_json", None),
    "no UTF-8": (b'{"input": {"prompt": "\xff"}}', 400, "invalid_json", None),
    "deep": (b'{"input": {"prompt": "x"}, "metadata": ' + b"[" * 20_000, 400, "invalid_json", None),
    "large": (b" " * MAX_BODY_BYTES + b"{}", 413, "body_too_large", None),
}


@pytest.mark.parametrize("case", BAD)
async def test_bad_input_leaves_no_trace(client: httpx2.AsyncClient, rows: asyncpg.Connection, case: str) -> None:
    """A refusal is a problem with a stable code and the field, and writes no row."""
    body, status, code, field = BAD[case]
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = await client.post("/v1/jobs", content=content, headers={**JSON, "Idempotency-Key": "k"})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert (answer.json()["code"], answer.json().get("field")) == (code, field)
    assert await counts(rows) == (0, 0, 0)


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_another_content_type_is_refused(client: httpx2.AsyncClient, content_type: str) -> None:
    """Only JSON is accepted."""
    answer = await client.post("/v1/jobs", content=json.dumps(BODY), headers={"content-type": content_type})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("idempotency_key", ["", "two words", "k" * 256, "schl\xfcssel", "tab\tbed"])
async def test_a_bad_idempotency_key_is_refused(
    client: httpx2.AsyncClient, rows: asyncpg.Connection, idempotency_key: str
) -> None:
    """A key is 1 to 255 visible ASCII characters."""
    headers = {b"Content-Type": b"application/json", b"Idempotency-Key": idempotency_key.encode("latin-1")}
    answer = await client.post("/v1/jobs", content=json.dumps(BODY), headers=headers)
    assert (answer.status_code, answer.json()["field"]) == (422, "Idempotency-Key")
    assert await counts(rows) == (0, 0, 0)


async def test_two_idempotency_keys_are_refused(client: httpx2.AsyncClient) -> None:
    """It would be ambiguous which of them counts."""
    headers = [("content-type", "application/json"), ("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    answer = await client.post("/v1/jobs", content=json.dumps(BODY), headers=headers)
    assert (answer.status_code, answer.json()["field"]) == (422, "Idempotency-Key")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
async def test_another_method_is_told_the_right_one(client: httpx2.AsyncClient, method: str) -> None:
    """The 405 has the Allow header."""
    answer = await client.request(method, "/v1/jobs")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert answer.json()["code"] == "method_not_allowed"
