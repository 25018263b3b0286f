from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import msgspec
import pytest

from chassis.auth import Caller
from chassis.postgres import Database
from chassis.problems import ProblemError
from darkroom_contracts.api import Scope
from darkroom_contracts.api.dead_letter_groups import GroupNoteRequest
from operations.groups.folding import FoldGroups
from operations.groups.groups import UnknownGroupError
from operations.groups.notes import WriteNote
from tests.integration.operations.groups.letters import add_letters, group_of, resolve

OPERATOR = Caller(uuid4(), "key-1", Scope.OPERATOR)
TOMORROW = datetime.now(UTC) + timedelta(days=1)
AUDIT = "SELECT actor, action, subject, before, after FROM audit_log ORDER BY id"


@pytest.fixture
def note(pool: Database, folder: FoldGroups) -> WriteNote:
    return WriteNote(pool, folder)


async def test_a_note_says_who_wrote_it(note: WriteNote, folder: FoldGroups, rows: asyncpg.Connection) -> None:
    """And it outlives the letters' resolution; each change of it is in the audit log."""
    [letter] = await add_letters(rows)
    group = letter["group_id"]
    await folder.run_once()
    noted = await note(OPERATOR, group, GroupNoteRequest("The disk is full", TOMORROW))
    assert noted.note is not None
    assert (noted.note.text, noted.note.by, noted.note.known_until) == ("The disk is full", "key-1", TOMORROW)
    await resolve(rows, letter["id"])
    await folder.run_once()
    replaced = await note(OPERATOR, group, GroupNoteRequest("The disk was full"))
    assert replaced.note is not None
    assert (replaced.note.text, replaced.note.known_until) == ("The disk was full", None)
    assert (await note(OPERATOR, group, GroupNoteRequest(None))).note is None
    entries = await rows.fetch(AUDIT)
    assert [(row["actor"], row["action"], row["subject"]) for row in entries] == [
        ("key-1", "group.note", str(group))
    ] * 3
    texts = [(msgspec.json.decode(row["before"])["text"], msgspec.json.decode(row["after"])["text"]) for row in entries]
    assert texts == [(None, "The disk is full"), ("The disk is full", "The disk was full"), ("The disk was full", None)]


async def test_a_group_that_is_not_folded_can_be_noted(note: WriteNote, rows: asyncpg.Connection) -> None:
    """It is seen in the list already."""
    group = await group_of(rows)
    assert (await note(OPERATOR, group, GroupNoteRequest("Look at this"))).note is not None


async def test_an_unknown_group_is_not_noted(note: WriteNote, rows: asyncpg.Connection) -> None:
    """Nor is that in the audit log."""
    with pytest.raises(UnknownGroupError):
        await note(OPERATOR, uuid4(), GroupNoteRequest("Look at this"))
    assert await rows.fetch(AUDIT) == []


async def test_a_date_needs_a_text(note: WriteNote, rows: asyncpg.Connection) -> None:
    """The field is named."""
    with pytest.raises(ProblemError) as refused:
        await note(OPERATOR, await group_of(rows), GroupNoteRequest(None, TOMORROW))
    assert refused.value.problem.field == "known_until"
