"""A wrong row or a silent database delays no other request."""

import asyncio
import time
import traceback
from uuid import uuid4

import asyncpg
import httpx2
import pytest
from structlog.testing import capture_logs

from chassis.postgres import RELEASE_TIMEOUT_SECONDS
from chassis.settings import load
from darkroom_contracts.models import Catalogue
from status.app import open_app
from status.settings import Settings
from tests.integration.chassis.wire import wire_to
from tests.integration.status.answers import assert_unavailable
from tests.integration.status.jobs import TenantJobs
from tests.support.declared import declared_client
from tests.support.waiting import eventually

MARK = "heliotropeheron"
BREAK = {
    "input": f"""jsonb_build_object('prompt', '{MARK}', '{MARK}', 1)""",
    "metadata": f"""'["{MARK}"]'""",
    "metrics": f"""'{{"inference_ms": "{MARK}"}}'""",
}


@pytest.mark.parametrize("column", BREAK)
async def test_a_row_that_can_not_be_decoded_fails_alone(
    client: httpx2.AsyncClient, jobs: TenantJobs, rows: asyncpg.Connection, column: str
) -> None:
    """Its request is a 500; the log names the job and the column, and quotes nothing."""
    ids = await jobs.queue(3)
    await rows.execute(f"UPDATE jobs SET {column} = {BREAK[column]} WHERE id = $1", ids[1])
    with capture_logs() as lines:
        answers = await asyncio.gather(*(client.get(f"/v1/jobs/{job_id}") for job_id in ids))
    assert [answer.status_code for answer in answers] == [200, 500, 200]
    assert answers[1].json()["code"] == "internal"
    (line,) = lines
    told = "".join(traceback.format_exception(line["exc_info"]))
    assert f"Column {column} of job {ids[1]} can't be decoded." in told
    assert MARK not in f"{told} {lines}"


async def test_a_strangers_row_that_can_not_be_decoded_is_not_found(
    client: httpx2.AsyncClient, strangers: TenantJobs, rows: asyncpg.Connection
) -> None:
    """Its existence is not revealed to others."""
    (job_id,) = await strangers.queue()
    await rows.execute(f"UPDATE jobs SET input = {BREAK['input']} WHERE id = $1", job_id)
    assert (await client.get(f"/v1/jobs/{job_id}")).status_code == 404


async def test_a_row_that_the_driver_can_not_read_fails_alone(
    client: httpx2.AsyncClient, jobs: TenantJobs, rows: asyncpg.Connection
) -> None:
    """A time beyond Python's calendar fails the whole query; its jobs are then read one by one."""
    ids = await jobs.queue(3)
    await rows.execute("UPDATE jobs SET expires_at = '20000-01-01' WHERE id = $1", ids[1])
    answers = await asyncio.gather(*(client.get(f"/v1/jobs/{job_id}") for job_id in ids))
    assert [answer.status_code for answer in answers] == [200, 500, 200]


async def test_all_who_wait_are_answered_when_the_database_falls_silent(
    environment: dict[str, str],
    catalogue: Catalogue,
    database: str,
    jobs: TenantJobs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are answered together when the first query times out; then reads continue."""
    monkeypatch.setattr("chassis.coalesce.PATIENCE_SECONDS", 1.0)
    (job_id,) = await jobs.queue()
    async with wire_to(database) as wire:
        settings = load(Settings, {**environment, "DARKROOM_DATABASE_URL": wire.url})
        async with open_app(settings) as status, declared_client(status.http, jobs.key) as client:
            path = f"/v1/jobs/{job_id}"
            assert (await client.get(path)).status_code == 200
            _, busy_seconds = await _thousand_reads(client)
            wire.freeze()
            answers, seconds = await _thousand_reads(client)
            assert seconds < 1.0 + RELEASE_TIMEOUT_SECONDS + 2.0 + busy_seconds
            for answer in answers:
                assert_unavailable(answer)
            wire.thaw()

            async def back() -> bool:
                return (await client.get(path)).status_code == 200

            await eventually(back, what="the job is readable again")


async def _thousand_reads(client: httpx2.AsyncClient) -> tuple[list[httpx2.Response], float]:
    """Return the answers to a thousand reads at once, and the seconds that they took: on a busy machine, many."""
    began = time.monotonic()
    answers = await asyncio.gather(*(client.get(f"/v1/jobs/{uuid4()}") for _ in range(1000)))
    return answers, time.monotonic() - began


async def test_only_so_many_reads_wait(
    client: httpx2.AsyncClient, jobs: TenantJobs, rows: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are answered 503 with Retry-After at once; the waiting ones are served."""
    (job_id,) = await jobs.queue()
    await client.get(f"/v1/jobs/{job_id}")  # from now on the key is known
    monkeypatch.setattr("chassis.coalesce.MOST_WAITING", 10)
    async with rows.transaction():
        await rows.execute("LOCK TABLE jobs")
        reads = [asyncio.create_task(client.get(f"/v1/jobs/{job_id}")) for _ in range(30)]
        await eventually(lambda: sum(read.done() for read in reads) == 20, what="the rest is refused")
    answers = await asyncio.gather(*reads)
    refused = [answer for answer in answers if answer.status_code == 503]
    assert [(answer.headers["retry-after"], answer.json()["code"]) for answer in refused] == [("1", "unavailable")] * 20
    assert sum(answer.status_code == 200 for answer in answers) == 10
