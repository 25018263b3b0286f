from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from chassis.postgres import Database
from chassis.problems import ProblemError
from darkroom_contracts.api.dead_letter_groups import DeadLetterGroup, DeadLetterGroupList, DeadLetterGroupQuery
from darkroom_contracts.states import LetterKind
from operations.groups import groups as module
from operations.groups.folding import FoldGroups
from operations.groups.groups import Groups, UnknownGroupError
from tests.integration.operations.groups.letters import add_letters, group_of, resolve

WORDS = ("apple", "brick", "cloud", "drum", "eagle", "flute", "grape")


@pytest.fixture
def groups(pool: Database) -> Groups:
    return Groups(pool)


async def page(groups: Groups, **query: Any) -> DeadLetterGroupList:
    return await groups.page(DeadLetterGroupQuery(**query))


async def every(groups: Groups, **query: Any) -> list[DeadLetterGroup]:
    """Return the groups of all pages."""
    found, cursor = [], None
    while True:
        shown = await page(groups, cursor=cursor, **query)
        found += shown.groups
        cursor = shown.next_cursor
        if cursor is None:
            return found


async def test_a_group_tells_what_failed_how_often_and_when(
    groups: Groups, folder: FoldGroups, rows: asyncpg.Connection
) -> None:
    """With a count for each of the last 24 hours."""
    await add_letters(rows, 2, "Step 7 broke", ago="2 h")
    letters = await add_letters(rows, 1, "Step 8 broke")
    await add_letters(rows, 5, "Step 9 broke", ago="30 h")
    await resolve(rows, letters[0]["id"])
    await folder.run_once()
    [group] = (await page(groups)).groups
    assert (group.id, group.kind, group.model) == (letters[0]["group_id"], LetterKind.JOB, "tiny")
    assert (group.reason, group.stage, group.note) == ("pipeline_error", "render", None)
    assert group.message in ("Step 7 broke", "Step 8 broke", "Step 9 broke")
    assert (group.open, group.total) == (7, 8)
    assert group.hours == [0] * 21 + [2, 0, 1]
    assert (group.last_seen_at - group.first_seen_at).total_seconds() == pytest.approx(30 * 3600, abs=60)


async def test_what_is_not_folded_is_read(groups: Groups, folder: FoldGroups, rows: asyncpg.Connection) -> None:
    """New groups, new letters and resolved ones are seen before the folder comes, the same as after it."""
    letters = await add_letters(rows, 3, ago="1 h")
    await folder.run_once()
    await add_letters(rows, 2)
    await resolve(rows, letters[0]["id"])
    fresh = await group_of(rows, "vanished")
    before = await page(groups)
    assert [(group.id, group.open, group.total, group.hours[-2:]) for group in before.groups] == [
        (fresh, 1, 1, [0, 1]),
        (letters[0]["group_id"], 4, 5, [3, 2]),
    ]
    assert (await groups.find(fresh)).open == 1
    await folder.run_once()
    assert (await page(groups)).groups == before.groups


async def test_groups_with_open_letters_come_first(
    groups: Groups, folder: FoldGroups, rows: asyncpg.Connection
) -> None:
    """Then those with the newest letters. Each is in the list once, and found by its status, folded or not."""
    [closed] = await add_letters(rows, 1, "closed")
    [old] = await add_letters(rows, 1, "old", ago="2 h")
    await resolve(rows, closed["id"])
    await folder.run_once()
    [closing] = await add_letters(rows, 1, "closing", ago="1 h")
    [new] = await add_letters(rows, 1, "new", ago="1 min")
    await folder.run_once()
    await resolve(rows, closing["id"])
    expected = [letter["group_id"] for letter in (new, old, closed, closing)]
    for _ in range(2):
        assert sorted(group.id for group in await every(groups, limit=2)) == sorted(expected)
        assert {group.id for group in await every(groups, status="open")} == {new["group_id"], old["group_id"]}
        assert {group.id for group in await every(groups, status="closed")} == {closed["group_id"], closing["group_id"]}
        await folder.run_once()
    assert [group.id for group in await every(groups, limit=2)] == expected


async def test_a_list_is_read_in_pages(groups: Groups, folder: FoldGroups, rows: asyncpg.Connection) -> None:
    """Each group is in one of them."""
    ids = [await group_of(rows, word, ago=f"{number} min") for number, word in enumerate(WORDS)]
    await folder.run_once()
    first = await page(groups, limit=3)
    assert [group.id for group in first.groups] == ids[:3]
    assert [group.id for group in await every(groups, limit=3)] == ids
    assert [group.id for group in await every(groups, limit=7)] == ids


async def test_groups_are_filtered(groups: Groups, folder: FoldGroups, rows: asyncpg.Connection) -> None:
    """By kind, by model, and by a text in which every number, id and path is alike."""
    oom = await group_of(rows, "Tried to allocate 512 MiB of /dev/gpu", code="out_of_memory")
    other = await group_of(rows, "The VAE broke at step 7", model="other")
    for _ in range(2):
        assert [group.id for group in await every(groups, model="other")] == [other]
        assert [group.id for group in await every(groups, text="VAE broke")] == [other]
        assert [group.id for group in await every(groups, text="at Step 12")] == [other]
        assert [group.id for group in await every(groups, text="allocate 2.5 GiB of /x")] == [oom]
        assert [group.id for group in await every(groups, text="out_of_mem")] == [oom]
        assert await every(groups, kind=LetterKind.WEBHOOK) == []
        assert await every(groups, text="%") == await every(groups, text="_o_") == []
        await folder.run_once()


async def test_a_filtered_page_looks_at_a_bounded_number_of_groups(
    groups: Groups, folder: FoldGroups, rows: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be empty although more follow."""
    monkeypatch.setattr(module, "LOOKED_AT", 2)
    last = await group_of(rows, "needle", ago="1 h")
    for word in WORDS:
        await add_letters(rows, 1, word)
    await folder.run_once()
    first = await page(groups, text="needle")
    assert (first.groups, first.next_cursor is None) == ([], False)
    assert [group.id for group in await every(groups, text="needle")] == [last]


async def test_a_cursor_of_something_else_is_refused(groups: Groups) -> None:
    """With the name of the parameter."""
    with pytest.raises(ProblemError) as refused:
        await page(groups, cursor="AAAA")
    assert refused.value.problem.field == "cursor"


async def test_an_unknown_group_is_not_found(groups: Groups) -> None:
    """Whatever its id is."""
    with pytest.raises(UnknownGroupError):
        await groups.find(uuid4())
    with pytest.raises(UnknownGroupError):
        await groups.find(UUID(int=0))


async def test_a_list_says_up_to_when_letters_are_counted(
    groups: Groups, rows: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the folder is away, a read adds a bounded number of changes."""
    monkeypatch.setattr("operations.groups.store.MOST_PENDING", 2)
    await add_letters(rows, 2, ago="1 h")
    await add_letters(rows, 2)
    shown = await page(groups)
    assert [group.open for group in shown.groups] == [2]
    assert shown.as_of == shown.groups[0].last_seen_at


async def test_words_of_an_error_are_data(groups: Groups, folder: FoldGroups, rows: asyncpg.Connection) -> None:
    """Quotes, wildcards and control characters are neither SQL nor a pattern."""
    hostile = 'it\'s 100% "over"; DROP TABLE jobs; -- \x1b[31m\u202e'
    group = await group_of(rows, hostile)
    await folder.run_once()
    [found] = await every(groups, text="DROP TABLE jobs; -- \x1b[")
    assert (found.id, found.message) == (group, hostile)
