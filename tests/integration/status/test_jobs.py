"""GET /v1/jobs/{id}."""

import asyncio
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx2
import msgspec
import pytest

from darkroom_contracts.api import Job
from tests.integration.status.jobs import TenantJobs
from tests.support.models import job_input

ERROR = {"code": "out_of_memory", "message": "The GPU ran out of memory.", "retryable": True, "stage": "render"}


async def get(client: httpx2.AsyncClient, job_id: UUID) -> dict[str, Any]:
    """Return the job, which must have the contract's form."""
    answer = await client.get(f"/v1/jobs/{job_id}")
    assert answer.status_code == 200, answer.text
    msgspec.json.decode(answer.content, type=Job)
    body: dict[str, Any] = answer.json()
    return body


async def test_a_waiting_job_is_told_whole(client: httpx2.AsyncClient, jobs: TenantJobs) -> None:
    """Every field is present; unknown values are null."""
    (job_id,) = await jobs.queue(campaign="autumn")
    body = await get(client, job_id)
    assert {field.name for field in msgspec.structs.fields(Job)} == set(body)
    assert (body["id"], body["status"], body["model"]) == (str(job_id), "queued", "tiny")
    assert body["input"] == msgspec.to_builtins(job_input(num_inference_steps=20))
    assert (body["attempt"], body["max_attempts"], body["generation"]) == (0, 4, 1)
    assert body["metadata"] == {"campaign": "autumn"}
    assert body["queue_position"] == 0
    assert body["urls"]["self"] == f"/v1/jobs/{job_id}"
    nulls = ("started_at", "completed_at", "progress", "error", "receipt", "retried_from", "next_attempt_at")
    assert [body[name] for name in nulls] == [None] * len(nulls)
    assert datetime.fromisoformat(body["expires_at"]) > datetime.fromisoformat(body["created_at"])


async def test_a_running_job_tells_its_steps(client: httpx2.AsyncClient, jobs: TenantJobs) -> None:
    """They come from the last heartbeat unless an event is newer."""
    (job_id,) = await jobs.queue()
    await jobs.claim(job_id)
    await jobs.report(job_id, 5)
    body = await get(client, job_id)
    assert (body["status"], body["attempt"]) == ("running", 1)
    assert body["progress"] == {"step": 5, "steps": 20, "value": 0.25}
    assert body["queue_position"] is None
    assert body["metrics"]["queue_ms"] > 0


async def test_a_success_tells_its_picture_its_receipt_and_its_times(
    client: httpx2.AsyncClient, jobs: TenantJobs
) -> None:
    """The picture's URL is presigned and has its expiry; the link is kept. Both are at the public origin."""
    (job_id,) = await jobs.queue()
    stored = await jobs.succeed(job_id, await jobs.claim(job_id))
    body = await get(client, job_id)
    assert body["status"] == "succeeded"
    assert body["progress"] == {"step": 20, "steps": 20, "value": 1.0}
    (output,) = body["outputs"]
    assert output["url"].startswith(f"https://darkroom.example/darkroom/{stored.key}?")
    assert output["link"] == f"https://darkroom.example/v1/jobs/{job_id}/outputs/0"
    assert datetime.fromisoformat(output["url_expires_at"]) > datetime.fromisoformat(body["completed_at"])
    assert (output["sha256"], output["size_bytes"], output["seed"]) == (stored.sha256, 3000, 7)
    assert body["receipt"]["model_revision"] == "rev-1"
    assert (body["metrics"]["inference_ms"], body["metrics"]["store_ms"]) == (300.5, 5.25)


async def test_a_dead_job_tells_why(client: httpx2.AsyncClient, jobs: TenantJobs) -> None:
    """The job has the reason and the mark of its dead letter."""
    (job_id,) = await jobs.queue()
    await jobs.fail(job_id, await jobs.claim(job_id), ERROR)
    body = await get(client, job_id)
    assert (body["status"], body["dead_lettered"], body["error"]) == ("failed", True, ERROR)
    assert body["outputs"] == []


async def test_a_job_that_waits_for_a_retry_tells_the_last_error_and_when(
    client: httpx2.AsyncClient, jobs: TenantJobs
) -> None:
    """It is queued again after one attempt."""
    (job_id,) = await jobs.queue()
    await jobs.retry(job_id, await jobs.claim(job_id), ERROR, seconds=60)
    body = await get(client, job_id)
    assert (body["status"], body["attempt"], body["error"]) == ("queued", 1, ERROR)
    assert datetime.fromisoformat(body["next_attempt_at"]) > datetime.fromisoformat(body["queued_at"])
    assert (body["progress"], body["metrics"]["queue_ms"]) == (None, None)


async def test_another_tenant_s_job_answers_exactly_as_an_unknown_one(
    client: httpx2.AsyncClient, jobs: TenantJobs, strangers: TenantJobs
) -> None:
    """Neither body nor headers reveal that the job exists."""
    (theirs,) = await strangers.queue()
    unknown, foreign = [await client.get(f"/v1/jobs/{job_id}") for job_id in (uuid4(), theirs)]
    assert (unknown.status_code, unknown.content) == (foreign.status_code, foreign.content)
    assert unknown.status_code == 404
    assert _comparable(unknown) == _comparable(foreign)
    assert unknown.json()["code"] == "not_found"
    assert unknown.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("segment", ["1", "latest", "0190-nope", "%00", "018f0000-0000-7000-8000-00000000000g"])
async def test_an_id_that_is_no_uuid_is_not_found(client: httpx2.AsyncClient, segment: str) -> None:
    """The response is problem+json, like every error."""
    answer = await client.get(f"/v1/jobs/{segment}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_answers_are_not_to_be_stored(client: httpx2.AsyncClient, jobs: TenantJobs) -> None:
    """Steps change and picture URLs expire."""
    (job_id,) = await jobs.queue()
    for one in (job_id, uuid4()):
        assert (await client.get(f"/v1/jobs/{one}")).headers["cache-control"] == "no-store"


async def test_head_answers_as_get_does(client: httpx2.AsyncClient, jobs: TenantJobs) -> None:
    """Status and headers are the same, for an existing and for an unknown job."""
    (job_id,) = await jobs.queue()
    assert (await client.head(f"/v1/jobs/{job_id}")).headers["content-type"] == "application/json"
    assert (await client.head(f"/v1/jobs/{uuid4()}")).status_code == 404


async def test_other_methods_are_refused_with_those_allowed(client: httpx2.AsyncClient) -> None:
    """The 405 is problem+json."""
    answer = await client.put(f"/v1/jobs/{uuid4()}")
    assert (answer.status_code, answer.headers["allow"]) == (405, "DELETE, GET")
    assert answer.json()["code"] == "method_not_allowed"


async def test_many_readers_at_once_each_get_their_own_job(client: httpx2.AsyncClient, jobs: TenantJobs) -> None:
    """Reads that share a query get their own jobs."""
    (first,) = await jobs.queue(number="0")
    ids = [first] + [(await jobs.queue(number=str(number)))[0] for number in range(1, 30)]
    bodies = await asyncio.gather(*(get(client, job_id) for job_id in ids * 3))
    assert [body["id"] for body in bodies] == [str(job_id) for job_id in ids * 3]
    assert [body["metadata"]["number"] for body in bodies] == [str(number) for number in range(30)] * 3


async def test_models_are_listed(client: httpx2.AsyncClient) -> None:
    """They have the bounds for clients, and no paths of the operator."""
    answer = await client.get("/v1/models")
    assert answer.status_code == 200
    (tiny,) = (model for model in answer.json()["models"] if model["name"] == "tiny")
    assert tiny["width"] == {"minimum": 64, "maximum": 512, "default": 64}
    assert "path" not in tiny


@pytest.mark.parametrize("path", ["/v1/models", f"/v1/jobs/{UUID(int=7)}"])
async def test_nothing_is_told_without_a_key(client: httpx2.AsyncClient, path: str) -> None:
    """The 401 is problem+json."""
    answer = await client.get(path, headers={"Authorization": ""})
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


async def test_a_deleted_row_is_not_found(
    client: httpx2.AsyncClient, jobs: TenantJobs, rows: asyncpg.Connection
) -> None:
    """Nothing is cached beyond the job's row."""
    (job_id,) = await jobs.queue()
    await get(client, job_id)
    await rows.execute("DELETE FROM jobs WHERE id = $1", job_id)
    assert (await client.get(f"/v1/jobs/{job_id}")).status_code == 404


def _comparable(answer: httpx2.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name != "traceparent"}
