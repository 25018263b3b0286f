"""What a worker's session says about its state."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from darkroom_contracts.api.workers import WorkerJob, WorkerState
from operations.workers.listing import state_of
from operations.workers.records import Session

MOMENT = datetime(2026, 11, 28, tzinfo=UTC)
JOB = WorkerJob(UUID(int=1), 1, MOMENT, None, None)


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, WorkerState.IDLE),
        ({"device": None}, WorkerState.STARTING),
        ({"paused": True}, WorkerState.PAUSED),
        ({"paused": True, "jobs": (JOB,)}, WorkerState.BUSY),
        ({"jobs": (JOB,)}, WorkerState.BUSY),
        ({"drain_requested_at": MOMENT, "jobs": (JOB,)}, WorkerState.DRAINING),
        ({"drain_requested_at": MOMENT, "paused": True}, WorkerState.DRAINED),
        ({"drain_requested_at": MOMENT, "silent_seconds": 16.0}, WorkerState.SILENT),
        ({"silent_seconds": 15.0}, WorkerState.IDLE),
        ({"silent_seconds": None, "jobs": (JOB,)}, WorkerState.LOST),
    ],
)
def test_what_needs_an_operator_comes_first(changes: dict[str, Any], state: WorkerState) -> None:
    """Lost before silent, silent before drained, drained before what the worker does."""
    fields: dict[str, Any] = {
        "id": UUID(int=1),
        "worker": "ansel",
        "model": "tiny",
        "device": "cpu",
        "gpu_id": None,
        "model_revision": None,
        "versions": {},
        "memory_bytes": None,
        "started_at": MOMENT,
        "last_beat_at": MOMENT,
        "drain_requested_at": None,
        "silent_seconds": 1.0,
    }
    assert state_of(Session(**(fields | changes)), 15.0) is state
