import asyncio
import json

import asyncpg
import pytest

from chassis.errors import DatabaseUnavailableError
from chassis.postgres import Database
from operations.alerts.alerts import Alerts
from operations.groups.folding import FoldGroups
from tests.integration.operations.groups.letters import (
    add_letters,
    folded_counts,
    group_of,
    resolve,
    true_counts,
)
from tests.integration.operations.jobs import Jobs

GROUPS = "SELECT * FROM dead_letter_groups ORDER BY last_seen_at"
HOURS = (
    "SELECT extract(epoch FROM now() - hour)::integer / 3600 AS ago, opened FROM dead_letter_hours ORDER BY hour DESC"
)
LEFT = "SELECT count(*) FROM dead_letter_deltas"
ALERTS = "SELECT subject, resolved_at IS NOT NULL AS resolved FROM alerts ORDER BY opened_at"


async def fold_all(folder: FoldGroups) -> None:
    while await folder.run_once():
        pass


async def test_a_failed_job_makes_a_group(folder: FoldGroups, jobs: Jobs, rows: asyncpg.Connection) -> None:
    """Its kind, model and error are those of its first letter, which names the worker of the attempt."""
    letter = await jobs.letter(await jobs.dead())
    assert letter["worker"] == "ansel"
    await folder.run_once()
    [group] = await rows.fetch(GROUPS)
    assert (group["id"], group["kind"], group["model"]) == (letter["group_id"], "job", "tiny")
    assert (group["open"], group["total"]) == (1, 1)
    assert group["first_seen_at"] == group["last_seen_at"] == letter["created_at"]
    assert json.loads(group["sample"])["message"] == "The scheduler failed at step 7."
    assert await rows.fetchval(LEFT) == 0


async def test_letters_are_grouped_by_kind_model_and_fingerprint(folder: FoldGroups, rows: asyncpg.Connection) -> None:
    """Equal failures of two models are two groups."""
    first = await group_of(rows, "Step 7 broke")
    assert await group_of(rows, "Step 12 broke") == first
    assert len({first, await group_of(rows, "Step 7 broke", model="other"), await group_of(rows, "The VAE broke")}) == 3
    await folder.run_once()
    assert await folded_counts(rows) == await true_counts(rows)


async def test_each_change_of_a_letter_is_counted(folder: FoldGroups, rows: asyncpg.Connection) -> None:
    """A replayed, a discarded and a removed letter are not open any more; a restored one is open again."""
    letters = [letter["id"] for letter in await add_letters(rows, 4)]
    await rows.execute("UPDATE dead_letters SET status = 'replaying' WHERE id = $1", letters[0])
    await resolve(rows, letters[0], "replayed")
    await resolve(rows, letters[1])
    await folder.run_once()
    assert [count for _, count in await folded_counts(rows)] == [2]
    await rows.execute("UPDATE dead_letters SET status = 'open', resolved_at = NULL WHERE id = $1", letters[1])
    await rows.execute("DELETE FROM dead_letters WHERE id = ANY ($1)", [letters[0], letters[2]])
    await folder.run_once()
    [group] = await rows.fetch(GROUPS)
    assert (group["open"], group["total"]) == (2, 4)
    assert await folded_counts(rows) == await true_counts(rows)


async def test_letters_are_counted_by_the_hour(folder: FoldGroups, rows: asyncpg.Connection) -> None:
    """In the hour in which each was recorded, whatever became of it, in one folding or in several."""
    [letter] = await add_letters(rows, 1, ago="3 h")
    await add_letters(rows, 2, ago="3 h")
    await resolve(rows, letter["id"])
    await folder.run_once()
    await add_letters(rows, 1, ago="3 h")
    await add_letters(rows, 1, ago="30 h")
    await folder.run_once()
    assert [tuple(row) for row in await rows.fetch(HOURS)] == [(3, 4), (30, 1)]
    [group] = await rows.fetch(GROUPS)
    assert (group["last_seen_at"] - group["first_seen_at"]).total_seconds() == pytest.approx(27 * 3600, abs=60)


async def test_a_folding_takes_a_bounded_batch(pool: Database, rows: asyncpg.Connection) -> None:
    """It asks to be repeated while it takes a whole batch."""
    folder = FoldGroups(pool, Alerts(""), batch=3)
    await add_letters(rows, 7)
    assert [await folder.run_once() for _ in range(3)] == [True, True, False]
    assert [count for _, count in await folded_counts(rows)] == [7]


async def test_operators_are_alerted_once_to_each_new_group(folder: FoldGroups, rows: asyncpg.Connection) -> None:
    """Not to further letters; the alert is over when no letter is open, and does not come back."""
    endpoint = await rows.fetchval(
        "INSERT INTO webhook_endpoints (audience, url, events)"
        " VALUES ('operator', 'https://example.com/', '{dead_letters.group_opened}') RETURNING id"
    )
    letters = await add_letters(rows, 2)
    group = letters[0]["group_id"]
    await folder.run_once()
    letters += await add_letters(rows, 1)
    await folder.run_once()
    assert [tuple(row) for row in await rows.fetch(ALERTS)] == [(str(group), False)]
    [sent] = await rows.fetch("SELECT endpoint_id, snapshot FROM webhook_deliveries")
    assert sent["endpoint_id"] == endpoint
    assert str(group) in sent["snapshot"]
    for letter in letters:
        await resolve(rows, letter["id"])
    await folder.run_once()
    assert [tuple(row) for row in await rows.fetch(ALERTS)] == [(str(group), True)]
    await add_letters(rows, 1)
    await folder.run_once()
    assert len(await rows.fetch(ALERTS)) == 1
    assert await rows.fetchval("SELECT count(*) FROM webhook_deliveries") == 2


async def test_the_alert_to_a_group_without_open_letters_is_over(folder: FoldGroups, rows: asyncpg.Connection) -> None:
    """As when operations was away while a letter appeared and its job was deleted."""
    [letter] = await add_letters(rows)
    await resolve(rows, letter["id"])
    await folder.run_once()
    assert [tuple(row) for row in await rows.fetch(ALERTS)] == [(str(letter["group_id"]), True)]


async def test_two_folders_make_each_group_once(pool: Database, rows: asyncpg.Connection) -> None:
    """They take turns: each letter is counted once, and each alert is sent once."""
    folders = [FoldGroups(pool, Alerts(""), batch=10) for _ in range(2)]
    for number in range(20):
        await add_letters(rows, 5, "broke " + "abcdefghijklmnopqrst"[number] * 3)
    while await rows.fetchval(LEFT):
        await asyncio.gather(*(folder.run_once() for folder in folders))
    assert await folded_counts(rows) == await true_counts(rows)
    assert len(await rows.fetch(ALERTS)) == 20


async def test_a_folding_while_another_is_under_way_leaves_everything(
    folder: FoldGroups, rows: asyncpg.Connection
) -> None:
    """It does not wait: the other one takes what there is."""
    await add_letters(rows, 1)
    async with rows.transaction():
        await rows.fetchval("SELECT pg_advisory_xact_lock(hashtext('darkroom dead-letter groups'))")
        assert await folder.run_once() is False
        assert await rows.fetchval(LEFT) == 1
    await folder.run_once()
    assert await rows.fetchval(LEFT) == 0


async def test_a_killed_folder_leaves_nothing_half_done(
    folder: FoldGroups, rows: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folding that dies after it took the deltas, before its commit, took none; the next one counts each once."""

    async def killed(*_: object) -> None:
        await rows.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )

    await add_letters(rows, 3)
    with monkeypatch.context() as patched:
        patched.setattr(Alerts, "open", killed)
        with pytest.raises(DatabaseUnavailableError):
            await folder.run_once()
    assert await rows.fetchval(LEFT) == 3
    assert await folded_counts(rows) == []
    await folder.run_once()
    assert await folded_counts(rows) == await true_counts(rows)
    assert len(await rows.fetch(ALERTS)) == 1


async def test_what_is_not_committed_is_counted_later(
    folder: FoldGroups, rows: asyncpg.Connection, database: str
) -> None:
    """A letter whose transaction commits after younger ones were folded is not lost."""
    other = await asyncpg.connect(database)
    transaction = other.transaction()
    await transaction.start()
    await add_letters(other, 1)
    await add_letters(rows, 1)
    await folder.run_once()
    assert [count for _, count in await folded_counts(rows)] == [1]
    await transaction.commit()
    await other.close()
    await folder.run_once()
    assert await folded_counts(rows) == await true_counts(rows)


async def test_settles_and_foldings_do_not_wait_for_each_other(
    folder: FoldGroups, jobs: Jobs, rows: asyncpg.Connection, database: str
) -> None:
    """A settle commits while a folding of the same group is under way."""
    await jobs.dead()
    await folder.run_once()
    await jobs.dead()
    async with rows.transaction():
        await rows.execute("SELECT FROM dead_letter_groups FOR UPDATE")
        await asyncio.wait_for(jobs.dead(), 5)
    await fold_all(folder)
    assert [count for _, count in await folded_counts(rows)] == [3]
