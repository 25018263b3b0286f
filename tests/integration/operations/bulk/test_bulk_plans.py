"""The query plans of a bulk replay with many items."""

from uuid import UUID

import asyncpg
import pytest

from operations.bulk import store
from tests.support.plans import KeptPlans, buffers, explain, rows_looked_at

MANY = 20_000
MARK = "'replayed', 2, NULL, {}, 20001"
FEW = 200
"""Pages that a statement may look at."""
REPLAY = """
    INSERT INTO replays (scope, created_by, status, started_at, due_at, pending, succeeded)
    VALUES ('{}', 'x', 'running', now(), now(), $1, $1) RETURNING id
"""
ITEMS = """
    INSERT INTO replay_items (replay_id, position, letter_id, verdict, state)
    SELECT $1, position, gen_random_uuid(), 'will replay', 'pending'
    FROM generate_series(1, 2 * $2::integer) AS position
"""


@pytest.fixture(params=["unanalyzed", "outdated", "analyzed"])
async def busy(request: pytest.FixtureRequest, rows: asyncpg.Connection) -> UUID:
    """Insert a replay whose first half has ended, with statistics of different ages."""
    replay_id: UUID = await rows.fetchval(REPLAY, MANY)
    await rows.execute(ITEMS, replay_id, MANY)
    if request.param == "outdated":
        await rows.execute("ANALYZE replay_items")
    await rows.execute("UPDATE replay_items SET state = 'succeeded' WHERE position <= $1", MANY)
    if request.param == "analyzed":
        await rows.execute("VACUUM ANALYZE replay_items")
    return replay_id


@pytest.mark.parametrize("generic", [False, True])
async def test_the_next_item_is_found_past_those_that_ended(
    busy: UUID, rows: asyncpg.Connection, generic: bool
) -> None:
    """The next pending item is a descent in an index, however many items before it have ended."""
    plan = await explain(rows, store.queries.next_item.sql, f"'{busy}', {MANY}", generic=generic)
    assert plan["Actual Rows"] == 1
    assert buffers(plan) < FEW, plan


@pytest.mark.parametrize("generic", [False, True])
async def test_following_looks_at_replayed_items_alone(busy: UUID, rows: asyncpg.Connection, generic: bool) -> None:
    """A round that finds no replayed item does not look at the others."""
    plan = await explain(rows, store.queries.follow_items.sql, f"'{busy}', 0, 500", generic=generic)
    assert buffers(plan) < FEW, plan


@pytest.mark.parametrize("generic", [False, True])
async def test_items_in_a_state_are_listed_by_it(busy: UUID, rows: asyncpg.Connection, generic: bool) -> None:
    """A page of one state does not look at the items of the others."""
    plan = await explain(rows, store.queries.list_items_in.sql, f"'{busy}', 'failed', 0, 50", generic=generic)
    assert buffers(plan) < FEW, plan


async def test_plans_made_of_empty_tables_find_the_next_item(rows: asyncpg.Connection) -> None:
    """A step of a replay, and a round that follows it, look at none of the items that ended or wait."""
    for table in ("replays", "replay_items"):
        await rows.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
    await rows.execute("VACUUM ANALYZE")
    kept, statements = KeptPlans(rows), {"next_item": "{}, 20000", "follow_items": "{}, 0, 500", "mark_item": MARK}
    for name, arguments in statements.items():
        await kept.prepare(getattr(store.queries, name).sql, arguments.format(f"'{UUID(int=0)}'"))
    replay_id = await rows.fetchval(REPLAY, MANY)
    await rows.execute(ITEMS, replay_id, MANY)
    for name, arguments in statements.items():
        plan = await kept.explain(getattr(store.queries, name).sql, arguments.format(f"'{replay_id}'"))
        assert rows_looked_at(plan) <= 5, (name, plan)
