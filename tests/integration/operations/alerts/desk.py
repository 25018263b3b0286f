"""An endpoint of operators, and the watch over a database."""

import json
from typing import Any

from darkroom_contracts.webhooks import OperatorEvent
from operations.alerts.watch import Watch
from tests.integration.operations.jobs import Jobs

ENDPOINT = """
    INSERT INTO webhook_endpoints (audience, url, events) VALUES ('operator', 'https://ops.example.com/', $1)
"""
EVENTS = "SELECT event, snapshot FROM webhook_deliveries WHERE tenant_id IS NULL ORDER BY id"


async def subscribe(jobs: Jobs) -> None:
    """Let an endpoint receive every operators' event."""
    await jobs.execute(ENDPOINT, [str(event) for event in OperatorEvent])


async def told(jobs: Jobs) -> list[tuple[str, dict[str, Any]]]:
    """Return type and data of the events that operators receive."""
    return [(row["event"], json.loads(row["snapshot"])) for row in await jobs.fetch(EVENTS)]


async def rounds(watch: Watch, count: int) -> None:
    """Let the watch look several times."""
    for _ in range(count):
        await watch.run_once()
