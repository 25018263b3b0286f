from collections.abc import AsyncIterator

import asyncpg
import pytest

from darkroom_contracts.schema import OUTSIDE, Migration, migrations, snapshot
from darkroom_contracts.states import JobStatus
from operations.migrations.migrate import migrate
from tests.integration.contracts.impossible_desk import (
    GROUP,
    IMPOSSIBLE_DESK_ROWS,
    IMPOSSIBLE_GROUPS,
    IMPOSSIBLE_REPLAYS,
    REPLAY,
)
from tests.integration.contracts.impossible_webhooks import (
    DELIVERY,
    ENDPOINT,
    GUARD,
    IMPOSSIBLE_ALLOWANCES,
    IMPOSSIBLE_ATTEMPTS,
    IMPOSSIBLE_DELIVERIES,
    IMPOSSIBLE_ENDPOINTS,
)
from tests.integration.contracts.rows import TENANT, insert_job, update
from tests.support.services import Services

CATALOG = """
    SELECT format('column %s.%s %s %s %s %s', table_name, column_name, udt_name, is_nullable, column_default,
        identity_generation)
    FROM information_schema.columns WHERE table_schema = 'public'
    UNION ALL
    SELECT format('constraint %s.%s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL
    SELECT format('index %s', indexdef) FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL
    SELECT format('function %s', pg_get_functiondef(oid)) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL
    SELECT format('trigger %s', pg_get_triggerdef(oid)) FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL
    SELECT format('%s %s %s', relkind, relname, reloptions) FROM pg_class WHERE relnamespace = 'public'::regnamespace
"""
BOOKKEEPING = "schema_migrations"

IMPOSSIBLE_JOBS = [
    ("jobs_status_check", JobStatus.QUEUED, {"status": "'cancelled'"}),
    ("jobs_generation_check", JobStatus.QUEUED, {"generation": "0"}),
    ("jobs_max_attempts_check", JobStatus.QUEUED, {"max_attempts": "0"}),
    ("attempts_are_bounded", JobStatus.QUEUED, {"attempt": "max_attempts + 1"}),
    ("attempts_are_bounded", JobStatus.QUEUED, {"attempt": "-1"}),
    ("running_means_leased", JobStatus.RUNNING, {"lease_token": "NULL", "lease_expires_at": "NULL"}),
    ("running_means_leased", JobStatus.RUNNING, {"lease_expires_at": "NULL"}),
    ("running_means_leased", JobStatus.QUEUED, {"lease_token": "gen_random_uuid()", "lease_expires_at": "now()"}),
    ("running_has_begun", JobStatus.RUNNING, {"attempt": "0"}),
    ("running_has_begun", JobStatus.RUNNING, {"started_at": "NULL"}),
    ("running_has_begun", JobStatus.RUNNING, {"worker": "NULL"}),
    ("terminal_means_completed", JobStatus.CANCELED, {"completed_at": "NULL"}),
    ("terminal_means_completed", JobStatus.QUEUED, {"completed_at": "now()"}),
    ("success_has_outputs", JobStatus.SUCCEEDED, {"outputs": "NULL"}),
    ("success_has_outputs", JobStatus.FAILED, {"outputs": "'[]'"}),
    ("only_outputs_are_removed", JobStatus.CANCELED, {"outputs_removed_at": "now()"}),
    ("success_has_no_error", JobStatus.SUCCEEDED, {"error": "'{}'"}),
    ("failure_has_a_reason", JobStatus.FAILED, {"error": "NULL"}),
    ("dead_lettered_means_failed", JobStatus.EXPIRED, {"dead_lettered": "true"}),
    ("jobs_cost_check", JobStatus.QUEUED, {"cost": "-1"}),
    ("jobs_refunds_check", JobStatus.QUEUED, {"refunds": "4"}),
    ("only_the_finished_are_deleted", JobStatus.QUEUED, {"deleted_at": "now()"}),
    ("deadline_has_its_time", JobStatus.QUEUED, {"deadline": "interval '1 hour'"}),
    ("deadline_has_its_time", JobStatus.QUEUED, {"deadline_at": "now()"}),
    ("only_the_queued_wait", JobStatus.RUNNING, {"next_attempt_at": "now()"}),
    ("the_queued_are_not_canceled", JobStatus.QUEUED, {"cancel_requested_at": "now()"}),
]
IMPOSSIBLE_LETTERS = [
    ("dead_letters_kind_check", {"kind": "'parcel'"}),
    ("dead_letters_status_check", {"status": "'closed'"}),
    ("a_job_s_letter_names_it", {"model": "NULL"}),
    ("a_job_s_letter_names_it", {"generation": "NULL"}),
    ("a_job_s_letter_names_it", {"job_id": "NULL"}),
    ("an_orphan_has_bytes", {"kind": "'orphan'", "body": "NULL"}),
    ("a_webhook_s_letter_names_its_delivery", {"kind": "'webhook'", "generation": "NULL"}),
    ("a_webhook_s_letter_names_its_delivery", {"kind": "'webhook'", "delivery_id": "gen_random_uuid()"}),
    ("a_webhook_s_letter_names_its_delivery", {"delivery_id": "gen_random_uuid()"}),
    ("an_undecodable_letter_has_bytes", {"kind": "'undecodable'", "body": "NULL"}),
    ("an_undecodable_letter_has_bytes", {"kind": "'undecodable'", "body_sha256": "NULL"}),
    ("resolved_means_closed", {"status": "'replayed'"}),
    ("resolved_means_closed", {"status": "'discarded'"}),
    ("resolved_means_closed", {"resolved_at": "now()"}),
]
LETTER = """
    INSERT INTO dead_letters (kind, job_id, generation, model, reason, error, fingerprint, body, body_sha256)
    VALUES ('job', gen_random_uuid(), 1, 'tiny', 'x', '{}', 'x', 'x', 'x') RETURNING id
"""
ATTEMPT = (
    "INSERT INTO attempts (lease_token, job_id, generation, attempt, worker, ended_at, outcome)"
    " SELECT gen_random_uuid(), id, 1, 1, 'w', {}, {} FROM jobs"
)
IMPOSSIBLE_ROWS = [
    ("instance_singleton_check", "INSERT INTO instance (singleton) VALUES (false)"),
    ("tenants_name_check", "INSERT INTO tenants (name) VALUES ('Not A Name')"),
    (
        "api_keys_scope_check",
        "INSERT INTO api_keys SELECT 'k', id, 'root', 'n', sha256('') FROM tenants",
    ),
    ("api_keys_name_check", "INSERT INTO api_keys SELECT 'k', id, 'client', '', sha256('') FROM tenants"),
    ("api_keys_secret_hash_check", "INSERT INTO api_keys SELECT 'k', id, 'client', 'n', 'short' FROM tenants"),
    (
        "a_key_is_replaced_by_another",
        "INSERT INTO api_keys (id, tenant_id, scope, name, secret_hash, replaced_by)"
        " SELECT 'k', id, 'client', 'n', sha256(''), 'k' FROM tenants",
    ),
    (
        "only_revoked_keys_cancel_jobs",
        "INSERT INTO api_keys (id, tenant_id, scope, name, secret_hash, cancels_jobs)"
        " SELECT 'k', id, 'client', 'n', sha256(''), true FROM tenants",
    ),
    (
        "attempts_outcome_check",
        ATTEMPT.format("now()", "'vanished'"),
    ),
    (
        "ended_means_outcome",
        ATTEMPT.format("now()", "NULL"),
    ),
    (
        "ended_means_outcome",
        ATTEMPT.format("NULL", "'lost'"),
    ),
]


@pytest.fixture
async def two_databases(services: Services) -> AsyncIterator[list[str]]:
    """Two databases without any table."""
    urls = [await services.database.create_database(migrated=False) for _ in range(2)]
    yield urls
    for url in urls:
        await services.database.drop_database(url)


async def _catalog(url: str) -> list[str]:
    connection = await asyncpg.connect(url)
    try:
        lines = [row[0] for row in await connection.fetch(CATALOG)]
    finally:
        await connection.close()
    return sorted(line for line in lines if BOOKKEEPING not in line)


async def test_the_migrations_end_in_the_snapshot(two_databases: list[str]) -> None:
    """All migrations together make exactly the database that the snapshot describes."""
    migrated, described = two_databases
    await migrate(migrated)
    connection = await asyncpg.connect(described)
    await connection.execute(snapshot())
    await connection.close()
    catalog = await _catalog(migrated)
    assert catalog == await _catalog(described)
    for what in ("column jobs.", "constraint ", "index ", "function ", "trigger ", "r jobs"):
        assert any(line.startswith(what) for line in catalog), "the comparison must see everything"


def test_migrations_are_numbered_without_gaps() -> None:
    """Migrations are numbered from 1, and each has a name."""
    found = migrations()
    assert [migration.version for migration in found] == list(range(1, len(found) + 1))
    assert all(migration.name for migration in found)


def test_a_migration_outside_a_transaction_says_so_in_its_first_line() -> None:
    """All others are applied whole or not at all."""
    assert Migration(1, "one", f"{OUTSIDE}CREATE INDEX CONCURRENTLY ...").in_transaction is False
    assert Migration(1, "one", f"CREATE INDEX ...\n{OUTSIDE}").in_transaction is True


def test_migrations_outside_a_transaction_hold_nobody_up() -> None:
    """Their wait for locks is not bounded, so they are of the kind that lets others read and write meanwhile."""
    for migration in migrations():
        assert migration.in_transaction or "CONCURRENTLY" in migration.sql, migration.name


@pytest.mark.parametrize(("constraint", "status", "columns"), IMPOSSIBLE_JOBS)
async def test_an_impossible_job_is_refused(
    connection: asyncpg.Connection, constraint: str, status: JobStatus, columns: dict[str, str]
) -> None:
    """A job that the protocol can't bring about can't be written either."""
    # The guard of transitions would speak before the constraint.
    await connection.execute("ALTER TABLE jobs DISABLE TRIGGER jobs_guard_transition")
    job_id = await insert_job(connection, status)
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await update(connection, "jobs", columns, job_id)
    assert refused.value.constraint_name == constraint


@pytest.mark.parametrize(("constraint", "columns"), IMPOSSIBLE_LETTERS)
async def test_an_impossible_letter_is_refused(
    connection: asyncpg.Connection, constraint: str, columns: dict[str, str]
) -> None:
    """A dead letter without what its kind and state ask for can't be written."""
    letter_id = await connection.fetchval(LETTER)
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await update(connection, "dead_letters", columns, letter_id)
    assert refused.value.constraint_name == constraint


@pytest.mark.parametrize(("constraint", "columns"), IMPOSSIBLE_ENDPOINTS)
async def test_an_impossible_endpoint_is_refused(
    connection: asyncpg.Connection, constraint: str, columns: dict[str, str]
) -> None:
    """A webhook endpoint that neither stands alone nor belongs to a tenant's URLs can't be written."""
    await connection.execute(TENANT)
    endpoint_id = await connection.fetchval(ENDPOINT)
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await update(connection, "webhook_endpoints", columns, endpoint_id)
    assert refused.value.constraint_name == constraint


@pytest.mark.parametrize(("constraint", "columns"), IMPOSSIBLE_DELIVERIES)
async def test_an_impossible_delivery_is_refused(
    connection: asyncpg.Connection, constraint: str, columns: dict[str, str]
) -> None:
    """A webhook delivery that dispatch can't bring about can't be written."""
    delivery_id = await connection.fetchval(DELIVERY)
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await update(connection, "webhook_deliveries", columns, delivery_id)
    assert refused.value.constraint_name == constraint


@pytest.mark.parametrize(("constraint", "columns"), IMPOSSIBLE_GROUPS)
async def test_an_impossible_group_is_refused(
    connection: asyncpg.Connection, constraint: str, columns: dict[str, str]
) -> None:
    """A group of dead letters with wrong counts, or with a note by nobody, can't be written."""
    group_id = await connection.fetchval(GROUP)
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await update(connection, "dead_letter_groups", columns, group_id)
    assert refused.value.constraint_name == constraint


@pytest.mark.parametrize(("constraint", "columns"), IMPOSSIBLE_REPLAYS)
async def test_an_impossible_replay_is_refused(
    connection: asyncpg.Connection, constraint: str, columns: dict[str, str]
) -> None:
    """A replay that runs without having been started, or has the stages of no ramp, can't be written."""
    replay_id = await connection.fetchval(REPLAY)
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await update(connection, "replays", columns, replay_id)
    assert refused.value.constraint_name == constraint


@pytest.mark.parametrize(
    ("constraint", "statement"), IMPOSSIBLE_ROWS + IMPOSSIBLE_ATTEMPTS + IMPOSSIBLE_ALLOWANCES + IMPOSSIBLE_DESK_ROWS
)
async def test_an_impossible_row_is_refused(connection: asyncpg.Connection, constraint: str, statement: str) -> None:
    """Keys, tenants, attempts, rates, items of replays and alerts are held to their shapes."""
    await insert_job(connection, JobStatus.QUEUED)
    await connection.execute(GROUP.partition("RETURNING")[0])
    await connection.execute(REPLAY)
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await connection.execute(statement)
    assert refused.value.constraint_name == constraint


async def test_every_check_is_tried(connection: asyncpg.Connection) -> None:
    """Each CHECK constraint of the schema has an impossible row above."""
    rows = await connection.fetch(
        "SELECT conname FROM pg_constraint WHERE contype = 'c' AND connamespace = 'public'::regnamespace"
    )
    webhooks = (*IMPOSSIBLE_ENDPOINTS, *IMPOSSIBLE_DELIVERIES, *IMPOSSIBLE_ATTEMPTS, *IMPOSSIBLE_ALLOWANCES)
    desk = (*IMPOSSIBLE_GROUPS, *IMPOSSIBLE_REPLAYS, *IMPOSSIBLE_DESK_ROWS)
    tried = {case[0] for case in (*IMPOSSIBLE_JOBS, *IMPOSSIBLE_LETTERS, *IMPOSSIBLE_ROWS, *webhooks, *desk)}
    assert {row["conname"] for row in rows} | {GUARD} == tried


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET actor = 'other'",
        "DELETE FROM audit_log",
        "DELETE FROM audit_log WHERE false",
        "TRUNCATE audit_log",
    ],
)
async def test_the_audit_log_is_only_appended(connection: asyncpg.Connection, statement: str) -> None:
    """Nobody changes or removes an entry, not even the owner of the table."""
    await connection.execute("INSERT INTO audit_log (actor, action, subject) VALUES ('me', 'look', 'it')")
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="only appended"):
        await connection.execute(statement)
    assert await connection.fetchval("SELECT actor FROM audit_log") == "me"
