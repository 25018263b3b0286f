"""Queues, workers, keys and audit entries as the API returns them."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from darkroom_contracts.api import Scope
from darkroom_contracts.api.audit import AuditEntry
from darkroom_contracts.api.keys import ApiKeyView, KeyStatus, NewApiKey
from darkroom_contracts.api.queues import BrokerQueue, Outbox, Pause, Queue, QueueList
from darkroom_contracts.api.workers import Worker, WorkerJob, WorkerState
from tests.unit.client.answers import JOB_ID

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
SESSION_ID = UUID("01993b5c-0005-7000-8000-000000000005")
KEY_ID = "a1B2c3D4e5F6"
PAUSE = Pause(AT - timedelta(hours=1), "oP3rat0r0001", "new weights")
HOSTILE = "\x1b[31m\u202eevil\x07"
"""What a terminal would obey: a colour, a turned direction, a bell."""


def queue(model: str = "tiny", **changes: Any) -> Queue:
    values: dict[str, Any] = {
        "model": model,
        "queued": 1200,
        "oldest_queued_at": AT - timedelta(minutes=5),
        "in_flight": 1,
        "workers": 2,
        "paused": None,
        "broker": BrokerQueue(f"darkroom.render.{model}.v1", ready=1199),
    }
    return Queue(**values | changes)


def queues(*found: Queue, **changes: Any) -> QueueList:
    values: dict[str, Any] = {
        "queues": found,
        "lanes": (BrokerQueue("darkroom.retry.10sa.v1", ready=2), BrokerQueue("darkroom.retry.10sb.v1", ready=0)),
        "dead_letter_queue": BrokerQueue("darkroom.dead.v1", ready=0),
        "outbox": Outbox(3, 0.4),
        "count_limit": 100_000,
        "sampled_at": AT,
    }
    return QueueList(**values | changes)


def worker(name: str = "gpu-1", **changes: Any) -> Worker:
    values: dict[str, Any] = {
        "worker": name,
        "state": WorkerState.BUSY,
        "model": "tiny",
        "session_id": SESSION_ID,
        "device": "NVIDIA L4",
        "gpu_id": "GPU-0a",
        "model_revision": "0123456789abcdef",
        "memory_bytes": 5_400_000_000,
        "versions": {"torch": "2.13.0", "diffusers": "0.42.0"},
        "started_at": AT - timedelta(days=1),
        "last_beat_at": AT - timedelta(seconds=2),
        "drain_requested_at": None,
        "jobs": (WorkerJob(JOB_ID, 1, AT - timedelta(seconds=9), 12, 20),),
        "outcomes": {"succeeded": 340, "failed": 2, "retried": 1},
        "errors": {"out_of_memory": 3},
    }
    return Worker(**values | changes)


def key(**changes: Any) -> ApiKeyView:
    return ApiKeyView(**_KEY | changes)


def new_key(**changes: Any) -> NewApiKey:
    return NewApiKey(**_KEY | {"key": f"dk_client_{KEY_ID}_secret"} | changes)


_KEY: dict[str, Any] = {
    "id": KEY_ID,
    "scope": Scope.CLIENT,
    "name": "web shop",
    "tenant": "shop",
    "status": KeyStatus.ACTIVE,
    "created_at": AT,
    "expires_at": None,
    "last_used_at": AT + timedelta(hours=1),
}


def entry(number: int = 1, **changes: Any) -> AuditEntry:
    values: dict[str, Any] = {
        "id": number,
        "at": AT,
        "actor": "oP3rat0r0001",
        "actor_name": "Ada's laptop",
        "action": "model.pause",
        "subject": "tiny",
        "reason": "new weights",
    }
    return AuditEntry(**values | changes)
