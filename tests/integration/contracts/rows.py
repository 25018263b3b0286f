"""Rows that satisfy every constraint, for tests that then break one."""

from uuid import UUID, uuid4

import asyncpg

from darkroom_contracts.states import JobStatus

NOTHING_SET = {
    "attempt": "0",
    "started_at": "NULL",
    "lease_token": "NULL",
    "lease_expires_at": "NULL",
    "completed_at": "NULL",
    "outputs": "NULL",
    "error": "NULL",
    "dead_lettered": "false",
}
"""The columns that a state decides, as SQL expressions."""

STATE_COLUMNS: dict[JobStatus, dict[str, str]] = {
    JobStatus.QUEUED: {},
    JobStatus.RUNNING: {
        "attempt": "1",
        "started_at": "now()",
        "worker": "'ansel'",
        "lease_token": "gen_random_uuid()",
        "lease_expires_at": "now()",
    },
    JobStatus.SUCCEEDED: {"completed_at": "now()", "outputs": "'[]'"},
    JobStatus.FAILED: {"completed_at": "now()", "error": "'{}'"},
    JobStatus.CANCELED: {"completed_at": "now()"},
    JobStatus.EXPIRED: {"completed_at": "now()"},
}

INSERT = """
    INSERT INTO jobs (id, tenant_id, model, input, traceparent, ttl, expires_at, status, {columns})
    SELECT $1, id, 'tiny', '{{}}', '', '1 hour', now(), '{status}', {values} FROM tenants
"""
TENANT = "INSERT INTO tenants (name) VALUES ('default') ON CONFLICT DO NOTHING"


async def insert_job(connection: asyncpg.Connection, status: JobStatus) -> UUID:
    """Return a job in the state, with all columns that the state requires."""
    job_id = uuid4()
    columns = NOTHING_SET | STATE_COLUMNS[status]
    await connection.execute(TENANT)
    await connection.execute(
        INSERT.format(columns=", ".join(columns), status=status, values=", ".join(columns.values())), job_id
    )
    return job_id


async def move_job(connection: asyncpg.Connection, job_id: UUID, status: JobStatus) -> None:
    """Set the state and all that it asks for. Raises what Postgres does."""
    columns = {"status": f"'{status}'"} | NOTHING_SET | STATE_COLUMNS[status]
    await update(connection, "jobs", columns, job_id)


async def update(connection: asyncpg.Connection, table: str, columns: dict[str, str], row_id: UUID) -> None:
    assignments = ", ".join(f"{column} = {expression}" for column, expression in columns.items())
    await connection.execute(f"UPDATE {table} SET {assignments} WHERE id = $1", row_id)
