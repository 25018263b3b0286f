"""Rows of jobs, decoded."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from darkroom_contracts.api import JobMetrics
from darkroom_contracts.states import JobStatus
from status.store import PlacedJob
from tests.support.models import job_input

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def job_row(**changes: Any) -> PlacedJob:
    """Return a job that waits since noon, with changes."""
    values: dict[str, Any] = {
        "id": uuid4(),
        "tenant_id": uuid4(),
        "model": "tiny",
        "input": job_input(num_inference_steps=20),
        "metadata": {},
        "retried_from": None,
        "status": JobStatus.QUEUED,
        "generation": 1,
        "attempt": 0,
        "max_attempts": 4,
        "created_at": NOON,
        "queued_at": NOON,
        "started_at": None,
        "completed_at": None,
        "expires_at": NOON.replace(day=2),
        "next_attempt_at": None,
        "step": None,
        "steps": None,
        "error": None,
        "outputs": [],
        "receipt": None,
        "metrics": JobMetrics(),
        "dead_lettered": False,
        "ahead": None,
    }
    return PlacedJob(**values | changes)


def numbered(number: int) -> UUID:
    """Return an id; ids are ordered by their numbers."""
    return UUID(int=number)
