"""The query plans of a database in which most letters are of one group."""

from uuid import UUID

import asyncpg
import pytest

from operations.groups import store
from operations.groups.folding import FoldGroups
from tests.integration.operations.groups.letters import add_letters, group_of
from tests.support.plans import KeptPlans, Plan, explain, nodes, rows_looked_at

MANY = 20_000
GROUPS = """
    INSERT INTO dead_letter_groups (id, kind, reason, fingerprint, sample, open, total, first_seen_at, last_seen_at)
    SELECT gen_random_uuid(), 'job', 'x', n::text, '{}', 1, 1, now(), now() FROM generate_series(1, $1::integer) AS n
"""


@pytest.fixture
async def crowded(folder: FoldGroups, rows: asyncpg.Connection) -> UUID:
    """Insert many letters of one group, and return another one with a single letter, which is older."""
    rare = await group_of(rows, "rare", ago="1 h")
    await add_letters(rows, MANY)
    while await folder.run_once():
        pass
    await rows.execute("VACUUM ANALYZE dead_letters")
    return rare


def looked_at(plan: Plan) -> float:
    """Return how many letters the plan looked at. It must not scan the table."""
    scans = [node for node in nodes(plan) if node.get("Relation Name") == "dead_letters"]
    assert "Seq Scan" not in {scan["Node Type"] for scan in scans}, plan
    return float(
        sum((scan["Actual Rows"] + scan.get("Rows Removed by Filter", 0)) * scan["Actual Loops"] for scan in scans)
    )


@pytest.mark.parametrize("generic", [False, True])
async def test_the_newest_letters_of_a_group_are_walked(crowded: UUID, rows: asyncpg.Connection, generic: bool) -> None:
    """As many as are examined, whether the group has all letters or one."""
    busy = await rows.fetchval("SELECT id FROM dead_letter_groups ORDER BY total DESC LIMIT 1")
    plan = await explain(rows, store.queries.describe_letters.sql, f"'{busy}', 100, 48", generic=generic)
    assert looked_at(plan) == 100
    plan = await explain(rows, store.queries.describe_letters.sql, f"'{crowded}', 100, 48", generic=generic)
    assert looked_at(plan) == 1


@pytest.mark.parametrize("generic", [False, True])
async def test_a_new_group_looks_at_one_letter(crowded: UUID, rows: asyncpg.Connection, generic: bool) -> None:
    """Beside a group that has nearly all of them, in the folding and in the list before it."""
    await rows.execute("DELETE FROM dead_letter_groups")
    await rows.execute(
        "INSERT INTO dead_letter_deltas (group_id, letter_id, change, is_new, at)"
        " SELECT group_id, id, 1, true, created_at FROM dead_letters WHERE group_id = $1"
        " UNION ALL (SELECT group_id, id, 1, true, created_at FROM dead_letters WHERE group_id <> $1 LIMIT 1)",
        crowded,
    )
    arguments = "20000, ARRAY[]::uuid[], true, NULL, NULL, NULL, NULL, 50"
    plan = await explain(rows, store.queries.read_groups.sql, arguments, generic=generic)
    assert looked_at(plan) <= 4
    transaction = rows.transaction()
    await transaction.start()
    plan = await explain(rows, store.queries.fold.sql, "5000", generic=generic)
    await transaction.rollback()
    assert looked_at(plan) <= 4


async def test_plans_made_of_empty_tables_follow_indexes(rows: asyncpg.Connection) -> None:
    """Folding, and the first page of groups, look at a bounded number of deltas in a storm, and at no other letter."""
    for table in ("dead_letters", "dead_letter_deltas", "dead_letter_groups", "dead_letter_hours"):
        await rows.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
    await rows.execute("VACUUM ANALYZE")
    kept, page = KeptPlans(rows), "100, ARRAY[]::uuid[], true, NULL, NULL, NULL, NULL, 50"
    statements = {
        "fold": ("100", 250),
        "read_groups": (page, 150),
        "walk_groups": ("true, 'infinity', gen_random_uuid(), true, 50", 50),
    }
    for name, (arguments, _) in statements.items():
        await kept.prepare(getattr(store.queries, name).sql, arguments)
    await add_letters(rows, MANY)
    await rows.execute(GROUPS, MANY)
    for name, (arguments, most) in statements.items():
        seen = rows_looked_at(await kept.explain(getattr(store.queries, name).sql, arguments))
        assert seen <= most, (name, seen)
