"""Clients of a gateway and their requests."""

from typing import Any

import asyncpg
import httpx2

BODY: dict[str, Any] = {"model": "tiny", "input": {"prompt": "a lighthouse"}}


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def submit(client: httpx2.AsyncClient, body: dict[str, Any] = BODY, **headers: str) -> dict[str, Any]:
    """Submit a job and return the response's body."""
    answer = await client.post("/v1/jobs", json=body, headers={k.replace("_", "-"): v for k, v in headers.items()})
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    return job


async def counts(rows: asyncpg.Connection) -> tuple[int, int, int]:
    """Return the number of jobs, messages and idempotency keys."""
    row = await rows.fetchrow(
        "SELECT (SELECT count(*) FROM jobs), (SELECT count(*) FROM outbox), (SELECT count(*) FROM idempotency_keys)"
    )
    return tuple(row)
