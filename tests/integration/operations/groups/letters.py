"""Dead letters for tests of groups: inserted as rows, since their jobs make no difference."""

import json
from typing import Any
from uuid import UUID

import asyncpg

INSERT = """
    INSERT INTO dead_letters (kind, job_id, generation, model, reason, error, fingerprint, created_at)
    SELECT 'job', gen_random_uuid(), 1, $1, $2::jsonb ->> 'code', $2, error_fingerprint($2), now() - $3::text::interval
    FROM generate_series(1, $4)
    RETURNING id, group_id
"""
COUNTS = """
    SELECT group_id AS id, count(*) FILTER (WHERE status = 'open') AS open FROM dead_letters GROUP BY 1 ORDER BY 1
"""


async def add_letters(
    rows: asyncpg.Connection,
    count: int = 1,
    message: str = "broke",
    *,
    model: str = "tiny",
    code: str = "pipeline_error",
    ago: str = "0 s",
) -> list[asyncpg.Record]:
    """Insert open letters of one group. Return their ids and that of the group."""
    error = {"code": code, "message": message, "retryable": False, "stage": "render"}
    return list(await rows.fetch(INSERT, model, json.dumps(error), ago, count))


async def group_of(rows: asyncpg.Connection, message: str = "broke", **properties: Any) -> UUID:
    """Insert a letter, and return its group."""
    [letter] = await add_letters(rows, 1, message, **properties)
    group: UUID = letter["group_id"]
    return group


async def resolve(rows: asyncpg.Connection, letter: UUID, status: str = "discarded") -> None:
    """Resolve a letter."""
    await rows.execute("UPDATE dead_letters SET status = $2, resolved_at = now() WHERE id = $1", letter, status)


async def true_counts(rows: asyncpg.Connection) -> list[tuple[UUID, int]]:
    """Return each group's number of open letters, counted letter by letter."""
    return [(row["id"], row["open"]) for row in await rows.fetch(COUNTS)]


async def folded_counts(rows: asyncpg.Connection) -> list[tuple[UUID, int]]:
    """Return each group's number of open letters as the folder counted them."""
    return [(row["id"], row["open"]) for row in await rows.fetch("SELECT id, open FROM dead_letter_groups ORDER BY id")]
