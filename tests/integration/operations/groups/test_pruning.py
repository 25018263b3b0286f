import asyncpg
import pytest

from chassis.postgres import Database
from operations.groups.folding import FoldGroups
from operations.groups.pruning import PruneGroups, PruneHours
from tests.integration.operations.groups.letters import add_letters, folded_counts, group_of, resolve, true_counts

NOTE = """
    UPDATE dead_letter_groups SET note = 'x', note_by = 'x', note_at = now(), known_until = now() + $2::text::interval
    WHERE id = $1
"""
REMOVE = "DELETE FROM dead_letters WHERE group_id = $1"
IDS = "SELECT id FROM dead_letter_groups"


async def test_groups_without_letters_are_removed(
    pool: Database, folder: FoldGroups, rows: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With their hours. Those whose failure is expected stay, and those with a letter, whatever its state."""
    monkeypatch.setattr(PruneGroups, "batch", 2)
    gone, forgotten, expected = [await group_of(rows, word) for word in ("gone", "forgotten", "expected")]
    [closed] = await add_letters(rows, 1, "closed")
    await resolve(rows, closed["id"])
    await group_of(rows, "open")
    await folder.run_once()
    await rows.execute(NOTE, expected, "1 h")
    await rows.execute(NOTE, forgotten, "-1 h")
    for group in (gone, forgotten, expected):
        await rows.execute(REMOVE, group)
    await folder.run_once()
    pruning = PruneGroups(pool)
    while await pruning.run_once():
        pass
    left = {row["id"] for row in await rows.fetch(IDS)}
    assert left == {expected} | {group for group, _ in await true_counts(rows)}
    assert await rows.fetchval("SELECT count(*) FROM dead_letter_hours WHERE group_id <> ALL ($1)", list(left)) == 0


async def test_a_removed_group_that_fails_again_is_new(
    pool: Database, folder: FoldGroups, rows: asyncpg.Connection
) -> None:
    """Also if the letter is older than the removal and its change was not folded."""
    group = await group_of(rows)
    await folder.run_once()
    await rows.execute(REMOVE, group)
    await folder.run_once()
    await PruneGroups(pool).run_once()
    assert await folded_counts(rows) == []
    await group_of(rows)
    await folder.run_once()
    assert await folded_counts(rows) == [(group, 1)]
    assert await rows.fetchval("SELECT count(*) FROM alerts") == 2


async def test_old_hours_are_removed(pool: Database, folder: FoldGroups, rows: asyncpg.Connection) -> None:
    """Those of the last thirty days stay."""
    await add_letters(rows, 1, ago="31 d")
    await add_letters(rows, 1, ago="29 d")
    await folder.run_once()
    await PruneHours(pool).run_once()
    assert await rows.fetchval("SELECT count(*) FROM dead_letter_hours") == 1
    assert await rows.fetchval("SELECT total FROM dead_letter_groups") == 2
