import re
from contextlib import suppress
from enum import StrEnum

import asyncpg
import pytest

from darkroom_contracts.states import (
    TRANSITIONS,
    DeliveryOutcome,
    DeliveryStatus,
    EndpointAudience,
    EndpointStatus,
    JobStatus,
)
from tests.integration.contracts.rows import insert_job, move_job

PAIRS = [(before, after) for before in JobStatus for after in JobStatus if before != after]


async def test_the_table_is_what_the_database_allows(connection: asyncpg.Connection) -> None:
    """The transition table equals what Postgres lets a real row do, for every pair of states."""
    allowed = {pair for pair in PAIRS if await _may_move(connection, *pair)}
    assert allowed == {(before, after) for before in JobStatus for after in TRANSITIONS[before]}


async def _may_move(connection: asyncpg.Connection, before: JobStatus, after: JobStatus) -> bool:
    job_id = await insert_job(connection, before)
    with suppress(asyncpg.CheckViolationError):
        await move_job(connection, job_id, after)
    row = await connection.fetchrow("SELECT status, version FROM jobs WHERE id = $1", job_id)
    moved = bool(row["status"] == after)
    assert row["version"] == (2 if moved else 1), "the version rises with the state, and only then"
    return moved


async def test_a_refused_transition_is_named(connection: asyncpg.Connection) -> None:
    """The error names the job and the refused transition."""
    job_id = await insert_job(connection, JobStatus.CANCELED)
    with pytest.raises(asyncpg.CheckViolationError, match=f"job {job_id} cannot change from canceled to queued"):
        await move_job(connection, job_id, JobStatus.QUEUED)


async def test_the_database_knows_the_same_states(connection: asyncpg.Connection) -> None:
    """Every state can be stored, and no other word."""
    for status in JobStatus:
        await insert_job(connection, status)
    with pytest.raises(asyncpg.CheckViolationError):
        await connection.execute("UPDATE jobs SET status = 'cancelled'")


@pytest.mark.parametrize(
    ("constraint", "values"),
    [
        ("webhook_endpoints_audience_check", EndpointAudience),
        ("webhook_endpoints_status_check", EndpointStatus),
        ("webhook_attempts_outcome_check", DeliveryOutcome),
    ],
)
async def test_the_database_knows_the_same_values(
    connection: asyncpg.Connection, constraint: str, values: type[StrEnum]
) -> None:
    """The CHECK lists the values of the enumeration, all of them and no others."""
    definition = await connection.fetchval(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = $1", constraint
    )
    assert set(re.findall("'([a-z]+)'", definition)) == set(values)


async def test_the_database_knows_the_same_states_of_deliveries(connection: asyncpg.Connection) -> None:
    """Its guard lists them, all of them and no others."""
    source = await connection.fetchval("SELECT prosrc FROM pg_proc WHERE proname = 'guard_delivery'")
    assert set(re.findall("'([a-z]+)'", source)) == set(DeliveryStatus)
