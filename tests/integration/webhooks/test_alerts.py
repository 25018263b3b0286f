"""Alerts, from the watch of operations to the receiver of an operators' endpoint."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from chassis.postgres import Database
from chassis.settings import DatabaseSettings
from darkroom import webhooks
from darkroom_contracts.api import Scope
from darkroom_contracts.webhooks import OperatorEvent
from operations.alerts.alerts import Alerts
from operations.alerts.records import Terms
from operations.alerts.watch import Watch
from tests.integration.webhooks.dispatchers import open_dispatch
from tests.integration.webhooks.http_api import OLD_KEY, open_api
from tests.support.clocks import Clock
from tests.support.receiver import Receiver, open_receiver
from webhooks.secrets import MasterKeys

ORIGIN = "https://darkroom.example.com"
TERMS = Terms(lease=15, stalled=300, stuck=60)
SILENT_WORKER = """
    INSERT INTO worker_sessions (id, worker, model, last_beat_at)
    VALUES (gen_random_uuid(), 'gpu-3', 'tiny', now() - interval '2 minutes')
"""


@pytest.fixture
async def desk() -> AsyncIterator[Receiver]:
    """Listen for operators' events."""
    async with open_receiver() as opened:
        yield opened


@pytest.fixture
async def watch(database: str) -> AsyncIterator[Watch]:
    """Return a watch that has waited a lease."""
    async with Database(DatabaseSettings(database_url=database), "operations-test") as pool:
        clock = Clock()
        made = Watch(pool, Alerts(ORIGIN), TERMS, clock)
        await made.run_once()
        clock.seconds += TERMS.lease
        yield made


async def test_a_lost_worker_is_reported_and_its_return_too(
    database: str, rows: asyncpg.Connection, watch: Watch, desk: Receiver
) -> None:
    """Operators get two signed events, with a link to the worker, however often the watch looks."""
    async with open_api(database, rows) as api, api.client("operators", Scope.OPERATOR) as operator:
        endpoint = {"url": f"{desk.url}/alerts", "events": [*OperatorEvent], "audience": "operator"}
        secret = (await operator.post("/v1/webhook-endpoints", json=endpoint)).json()["secret"]
    await rows.execute(SILENT_WORKER)
    async with open_dispatch(database, keys=MasterKeys([OLD_KEY])) as dispatch:
        for _ in range(4):
            await watch.run_once()
            await dispatch.round()
        assert len(desk.requests) == 1
        await rows.execute("UPDATE worker_sessions SET last_beat_at = now()")
        for _ in range(3):
            await watch.run_once()
            await dispatch.round()
    opened, resolved = [webhooks.unwrap(request.headers, request.body, secret) for request in desk.requests]
    assert isinstance(opened, webhooks.Event)
    assert isinstance(resolved, webhooks.Event)
    assert opened.type == resolved.type == "worker.lost"
    assert (opened.data["subject"], opened.data["model"]) == ("gpu-3", "tiny")
    assert opened.data["link"] == f"{ORIGIN}/v1/operations/workers?worker=gpu-3"
    assert opened.data["resolved_at"] is None
    assert resolved.data["resolved_at"] > resolved.data["opened_at"] == opened.data["opened_at"]
