"""The walk through a scope, step by step."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from chassis.cursor import NEWEST
from chassis.postgres import Database
from darkroom_contracts.api.dead_letters import LetterScope
from darkroom_contracts.states import LetterKind
from operations.desk.scopes import walk
from operations.desk.searching import OLDEST
from tests.integration.operations.desk_letters import DeskLetters


async def walked(pool: Database, at_most: int = 1000, before: UUID = NEWEST, **scope: Any) -> list[UUID]:
    """Return the ids of all steps."""
    ids: list[UUID] = []
    after: UUID | None = OLDEST
    while after is not None:
        async with pool.connection() as connection:
            step = await walk(connection, LetterScope(**scope), after, before, at_most)
        ids += step.ids
        after = step.last
    return ids


@pytest.mark.parametrize("at_most", [1, 2, 3, 1000])
async def test_a_walk_sees_each_letter_once(pool: Database, letters: DeskLetters, at_most: int) -> None:
    """The oldest first, in steps of any size; closed letters and other models are left out."""
    wanted = [*await letters.add(3, model="flux"), *await letters.add(2, model="flux", ago=timedelta(hours=1))]
    await letters.add(2, model="flux", status="discarded")
    await letters.add(3)
    assert await walked(pool, at_most, model="flux") == sorted(wanted)


@pytest.mark.parametrize("at_most", [1, 2, 1000])
@pytest.mark.parametrize("way", ["ids", "group", "worker", "tenant", "job", "text", "group in text", "kind"])
async def test_each_way_sees_its_letters_once(pool: Database, letters: DeskLetters, way: str, at_most: int) -> None:
    """Whichever filter is the narrowest: the oldest first, in steps of any size, without others or closed letters."""
    job = uuid4()
    rare: dict[str, Any] = {"job": job, "tenant": "few", "worker": "rare", "message": "a rare failure"}
    wanted = sorted([*await letters.add(3, **rare), *await letters.add(2, **rare | {"job": uuid4()})])
    of_job = [each for each in wanted if (await letters.row(each))["job_id"] == job]
    await letters.add(2, status="discarded", **rare | {"job": uuid4()})
    await letters.add(3, "webhook", tenant="many", message="a rare failure")
    group = await letters.group(wanted[0])
    scopes: dict[str, tuple[dict[str, Any], list[UUID]]] = {
        "ids": ({"ids": wanted[::-1]}, wanted),
        "group": ({"group": group}, wanted),
        "worker": ({"worker": "rare"}, wanted),
        "tenant": ({"tenant": "few"}, wanted),
        "job": ({"job": job}, of_job),
        "text": ({"text": str(job)}, of_job),
        "group in text": ({"text": str(group), "ids": wanted[1:4]}, wanted[1:4]),
        "kind": ({"kind": LetterKind.JOB}, wanted),
    }
    scope, expected = scopes[way]
    assert await walked(pool, at_most, **scope) == expected


async def test_a_walk_ends_at_its_bound(pool: Database, letters: DeskLetters) -> None:
    """Letters that come later are not in it."""
    ids = sorted(await letters.add(5))
    assert await walked(pool, before=ids[3], kind=LetterKind.JOB) == ids[:3]


async def test_named_letters_are_walked_whatever_they_are(pool: Database, letters: DeskLetters) -> None:
    """Orphans and those that came back twice are included by their ids only, or by their kind; ids find closed ones."""
    [plain], [again] = await letters.add(model="flux"), await letters.add(model="flux", returns=2)
    [orphan] = await letters.add(1, "orphan", model="flux")
    assert await walked(pool, model="flux") == [plain]
    assert await walked(pool, kind=LetterKind.ORPHAN) == [orphan]
    [closed] = await letters.add(1, status="discarded")
    assert await walked(pool, 2, ids=[orphan, again, closed, uuid4()]) == sorted([again, orphan, closed])


async def test_what_a_walk_leaves_out_is_returned_too(pool: Database, letters: DeskLetters) -> None:
    """So that a plan can name it."""
    await letters.add(model="flux")
    [again], [orphan] = await letters.add(model="flux", returns=2), await letters.add(1, "orphan", model="flux")
    async with pool.connection() as connection:
        step = await walk(connection, LetterScope(model="flux"), OLDEST, NEWEST, 1000)
    assert [letter.id for letter in step.left_out] == sorted([again, orphan])


async def test_times_bound_a_walk(pool: Database, letters: DeskLetters) -> None:
    """As they bound a list."""
    ids = sorted(await letters.add(5))
    rows = [await letters.row(each) for each in ids]
    times = {"created_after": rows[1]["created_at"], "created_before": rows[4]["created_at"]}
    assert await walked(pool, 2, **times) == ids[1:4]


async def test_a_walk_of_an_unknown_tenant_is_empty(pool: Database, letters: DeskLetters) -> None:
    """And ends at once."""
    await letters.add(3)
    assert await walked(pool, tenant="nobody") == []
