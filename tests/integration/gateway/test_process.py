"""`python -m gateway` as a process."""

import asyncio
from pathlib import Path

import asyncpg
import httpx2

from chassis.service import BAD_SETTINGS_EXIT_CODE
from darkroom_contracts.topology import work_queue
from tests.integration.gateway.clients import BODY, bearer, counts
from tests.integration.gateway.conftest import Environment
from tests.support.fixtures import ServiceFactory
from tests.support.processes import ServiceProcess
from tests.support.queues import Queues
from tests.support.waiting import eventually
from tests.support.webhook_spellings import REFUSED_HOSTS, REFUSED_URLS

REPOSITORY = Path(__file__).parents[3]
MEGABYTE = 1024**2


async def start_gateway(
    start_service: ServiceFactory, environment: Environment, *, wait_ready: bool = True
) -> ServiceProcess:
    models = {"DARKROOM_MODELS_FILE": str(REPOSITORY / "deploy" / "models.toml")}
    return await start_service("gateway", {**environment, **models}, wait_ready=wait_ready)


async def test_a_job_travels_to_the_broker(
    start_service: ServiceFactory, environment: Environment, key: str, vhost: str, rows: asyncpg.Connection
) -> None:
    """Declarer, endpoints and relay run, and the idle process stays small."""
    gateway = await start_gateway(start_service, environment)
    async with httpx2.AsyncClient(base_url=gateway.url, headers=bearer(key), trust_env=False) as client:
        assert (await client.post("/v1/jobs", json=BODY)).status_code == 202
        metrics = (await client.get("/metrics")).text
    await eventually(lambda: _is_published(rows), what="the outbox is empty")
    assert await Queues(vhost).waiting(work_queue("tiny")) == 1
    assert 'darkroom_gateway_jobs_total{outcome="accepted"} 1.0' in metrics
    assert _resident_bytes(gateway.pid) < 70 * MEGABYTE
    assert await gateway.stop() == 0


async def test_sigterm_answers_every_post_that_was_taken_in(
    start_service: ServiceFactory, environment: Environment, key: str, rows: asyncpg.Connection
) -> None:
    """Under load, every recorded job has its response and every response its job; the process exits with 0."""
    gateway = await start_gateway(start_service, environment)
    accepted: list[str] = []

    async def post_on(client: httpx2.AsyncClient) -> None:
        try:
            while True:
                answer = await client.post("/v1/jobs", json=BODY)
                assert answer.status_code == 202
                accepted.append(answer.json()["id"])
        except httpx2.TransportError:
            return

    async with httpx2.AsyncClient(base_url=gateway.url, headers=bearer(key), trust_env=False, timeout=30) as client:
        posting = [asyncio.create_task(post_on(client)) for _ in range(16)]
        await eventually(lambda: len(accepted) > 100, what="the load has begun")
        assert await gateway.stop() == 0
        await asyncio.gather(*posting)
    recorded = {str(row["id"]) for row in await rows.fetch("SELECT id FROM jobs")}
    assert recorded == set(accepted)


async def test_bad_settings_are_told_at_once(start_service: ServiceFactory) -> None:
    """Every missing and wrong variable is reported at once, without values, and has its own exit code."""
    settings = {"DARKROOM_AMQP_URL": "http://secret", "DARKROOM_MAX_QUEUED_JOBS": "none"}
    gateway = await start_gateway(start_service, settings, wait_ready=False)
    assert await gateway.wait() == 64
    told = gateway.output()
    for variable in ("DARKROOM_DATABASE_URL", "DARKROOM_AMQP_URL", "DARKROOM_MAX_QUEUED_JOBS"):
        assert variable in told
    assert "secret" not in told


async def test_a_missing_catalogue_is_told(start_service: ServiceFactory, environment: Environment) -> None:
    """The process prints one sentence and exits with a non-zero code."""
    gateway = await start_service("gateway", {**environment, "DARKROOM_MODELS_FILE": "nowhere"}, wait_ready=False)
    assert await gateway.wait() == BAD_SETTINGS_EXIT_CODE
    assert "The model catalogue nowhere can't be read" in gateway.output()


async def test_a_body_that_ends_early_leaves_nothing(
    start_service: ServiceFactory, environment: Environment, key: str, rows: asyncpg.Connection
) -> None:
    """A client that disconnects affects no other."""
    gateway = await start_gateway(start_service, environment)
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(
        f"POST /v1/jobs HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {key}\r\n"
        "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{".encode()
    )
    await writer.drain()
    writer.close()
    async with httpx2.AsyncClient(base_url=gateway.url, headers=bearer(key), trust_env=False) as client:
        assert (await client.post("/v1/jobs", json=BODY)).status_code == 202
    assert (await counts(rows))[0] == 1
    assert "Traceback" not in gateway.output()
    assert '"level": "error"' not in gateway.output()


async def test_webhook_urls_that_are_refused_leave_nothing(
    start_service: ServiceFactory, environment: Environment, key: str, rows: asyncpg.Connection
) -> None:
    """A 422 names the field, whatever the spelling; the Idempotency-Key is free for the corrected request."""
    gateway = await start_gateway(start_service, environment)
    refused = [f"https://{host}/hook" for hosts in REFUSED_HOSTS.values() for host in hosts]
    refused += [url for urls in REFUSED_URLS.values() for url in urls]
    assert len(refused) >= 200
    async with httpx2.AsyncClient(base_url=gateway.url, headers=bearer(key), trust_env=False) as client:
        for number, url in enumerate(refused):
            headers = {"Idempotency-Key": f"key-{number}"}
            answer = await client.post("/v1/jobs", json={**BODY, "webhook_url": url}, headers=headers)
            problem = answer.json()
            found = (answer.status_code, problem["code"], problem.get("field"))
            assert found == (422, "invalid_request", "webhook_url"), url
        assert await counts(rows) == (0, 0, 0)
        corrected = {**BODY, "webhook_url": "https://example.com/hook"}
        answer = await client.post("/v1/jobs", json=corrected, headers={"Idempotency-Key": "key-0"})
    assert (answer.status_code, "idempotency-replayed" in answer.headers) == (202, False)
    assert await counts(rows) == (1, 1, 1)


async def _is_published(rows: asyncpg.Connection) -> bool:
    return bool(await rows.fetchval("SELECT NOT EXISTS (SELECT FROM outbox)"))


def _resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096
