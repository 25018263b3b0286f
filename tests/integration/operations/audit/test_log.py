"""The audit log: written with the act, read in pages, and changed by nobody."""

from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest

from chassis.cursor import MalformedCursorError
from chassis.postgres import Database
from darkroom_contracts.api.audit import AuditEntry, AuditQuery
from operations.audit.log import Action, record
from operations.audit.reading import read_audit
from tests.support.keys import insert_key


async def act(pool: Database, actor: str = "command:ada", action: Action = Action.PAUSE, subject: str = "tiny") -> None:
    async with pool.transaction() as connection:
        await record(connection, actor, action, subject)


async def entries(pool: Database, **query: object) -> list[AuditEntry]:
    return (await read_audit(pool, AuditQuery(**query))).entries  # type: ignore[arg-type]


async def test_an_entry_says_who_did_what_to_what_and_why(pool: Database, rows: asyncpg.Connection) -> None:
    """With what it changed, before and after; a key is named too."""
    key, subject = await insert_key(rows), uuid4()
    async with pool.transaction() as connection:
        await record(
            connection, key.id, Action.DISCARD, subject, reason="known", before={"status": "open"}, after={"n": [1]}
        )
    [entry] = await entries(pool)
    assert (entry.actor, entry.actor_name, entry.action) == (key.id, "test", "dead_letter.discard")
    assert (entry.subject, entry.reason) == (str(subject), "known")
    assert (entry.before, entry.after) == ({"status": "open"}, {"n": [1]})


async def test_an_act_that_fails_leaves_no_entry(pool: Database) -> None:
    """The entry belongs to the transaction of the act."""

    async def fail() -> None:
        async with pool.transaction() as connection:
            await record(connection, "command:ada", Action.PAUSE, "tiny")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await entries(pool) == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET actor = 'nobody'",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
        "TRUNCATE audit_log CASCADE",
        "INSERT INTO audit_log OVERRIDING SYSTEM VALUE SELECT * FROM audit_log"
        " ON CONFLICT (id) DO UPDATE SET actor = 'nobody'",
    ],
)
async def test_an_entry_is_never_changed_or_removed(pool: Database, rows: asyncpg.Connection, statement: str) -> None:
    """The database refuses it to everybody, its owner included."""
    await act(pool)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="only appended"):
        await rows.execute(statement)
    assert [entry.actor for entry in await entries(pool)] == ["command:ada"]


async def test_pages_follow_each_other(pool: Database) -> None:
    """The newest first; each entry is on one page, also when more are made meanwhile."""
    for number in range(5):
        await act(pool, subject=str(number))
    first = await read_audit(pool, AuditQuery(limit=2))
    await act(pool, subject="later")
    second = await read_audit(pool, AuditQuery(limit=2, cursor=first.next_cursor))
    third = await read_audit(pool, AuditQuery(limit=2, cursor=second.next_cursor))
    subjects = [[entry.subject for entry in page.entries] for page in (first, second, third)]
    assert subjects == [["4", "3"], ["2", "1"], ["0"]]
    assert third.next_cursor is None


async def test_filters_narrow_the_log(pool: Database) -> None:
    """By actor, action, subject and time, alone and together."""
    await act(pool, "key1", Action.PAUSE, "tiny")
    await act(pool, "key2", Action.PAUSE, "large")
    await act(pool, "key2", Action.RESUME, "large")
    latest, middle, _ = await entries(pool)

    async def found(**query: object) -> list[str]:
        return [f"{entry.actor} {entry.action}" for entry in await entries(pool, **query)]

    assert await found(actor="key1") == ["key1 model.pause"]
    assert await found(action="model.pause") == ["key2 model.pause", "key1 model.pause"]
    assert await found(subject="large", action="model.pause") == ["key2 model.pause"]
    assert await found(created_after=latest.at) == ["key2 model.resume"]
    assert await found(created_before=latest.at, created_after=middle.at) == ["key2 model.pause"]
    assert await found(created_after=latest.at + timedelta(hours=1)) == []
    assert await found(actor="key2", created_before=latest.at) == ["key2 model.pause"]
    assert await found(action="model.pause", created_after=middle.at) == ["key2 model.pause"]
    assert await found(subject="large", actor="key2", created_after=latest.at) == ["key2 model.resume"]
    assert await found(subject="large", actor="key1") == []
    assert await found(actor="key2", action="model.resume") == ["key2 model.resume"]
    assert await found(actor="nobody") == []


async def test_entries_of_one_moment_are_on_one_page_each(pool: Database) -> None:
    """Those of a transaction have its time, and the order of their ids."""
    async with pool.transaction() as connection:
        for number in range(5):
            await record(connection, "command:ada", Action.PAUSE, str(number))
    seen: list[str] = []
    query = AuditQuery(limit=2)
    while True:
        page = await read_audit(pool, query)
        seen += [entry.subject for entry in page.entries]
        if page.next_cursor is None:
            break
        query = AuditQuery(limit=2, cursor=page.next_cursor)
    assert seen == ["4", "3", "2", "1", "0"]


async def test_a_long_transaction_is_listed_by_its_time(pool: Database) -> None:
    """Entries are ordered by when the act began, not by when it was recorded."""
    async with pool.transaction() as connection:
        await connection.execute("SELECT 1")
        await act(pool, subject="meanwhile")
        await record(connection, "command:ada", Action.PAUSE, "long")
    meanwhile, long = await entries(pool)
    assert (meanwhile.subject, long.subject) == ("meanwhile", "long")
    assert long.id > meanwhile.id
    assert await entries(pool, created_before=meanwhile.at) == [long]


@pytest.mark.parametrize(
    "cursor", ["", "newest", "A" * 23, "AQ" + "_" * 21, "é" * 23, "Ag" + "A" * 21, "AX" + "_" * 21]
)
async def test_a_wrong_cursor_is_refused(pool: Database, cursor: str) -> None:
    """Malformed, of another version, or beyond what a time can be."""
    with pytest.raises(MalformedCursorError):
        await read_audit(pool, AuditQuery(cursor=cursor))
