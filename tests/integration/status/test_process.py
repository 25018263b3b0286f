"""The status service as a process."""

from pathlib import Path

import httpx2

from tests.integration.status.jobs import TenantJobs
from tests.support.fixtures import ServiceFactory

MODELS = Path(__file__).parents[3] / "deploy" / "models.toml"


async def test_the_process_starts_serves_and_drains(
    start_service: ServiceFactory, environment: dict[str, str], jobs: TenantJobs
) -> None:
    """`python -m status` serves and exits with 0 after SIGTERM, with and without a broker."""
    (job_id,) = await jobs.queue()
    process = await start_service("status", environment | {"DARKROOM_MODELS_FILE": str(MODELS)})
    async with httpx2.AsyncClient(base_url=process.url, trust_env=False) as http:
        answer = await http.get(f"/v1/jobs/{job_id}", headers={"Authorization": f"Bearer {jobs.key}"})
        assert answer.json()["id"] == str(job_id)
        assert "darkroom_http_request_seconds" in (await http.get("/metrics")).text
    assert await process.stop() == 0


async def test_every_mistake_in_the_settings_is_told_at_once(start_service: ServiceFactory) -> None:
    """The process exits with the code for wrong usage."""
    process = await start_service("status", {"DARKROOM_STATUS_PORT": "0"}, wait_ready=False)
    assert await process.wait() == 64
    for name in ("DATABASE_URL", "AMQP_URL", "S3_ENDPOINT", "S3_ACCESS_KEY", "STATUS_PORT"):
        assert f"DARKROOM_{name}" in process.output()
