"""Acts on a job: what its client does, and what a worker writes."""

from typing import Any

import httpx2

START = (
    "UPDATE jobs SET status = 'running', attempt = 1, worker = 'ansel', started_at = now(),"
    " lease_token = gen_random_uuid(),"
    " lease_expires_at = now() + interval '1 minute'"
)
SUCCEED = (
    "UPDATE jobs SET status = 'succeeded', completed_at = now(), outputs = '[]', lease_token = NULL,"
    " lease_expires_at = NULL"
)


async def cancel(client: httpx2.AsyncClient, job: dict[str, Any]) -> Any:
    answer = await client.post(job["urls"]["cancel"])
    assert answer.status_code == 200, answer.text
    return answer.json()
