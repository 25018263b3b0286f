"""Lists and searches of dead letters."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from chassis.moments import moment_of
from chassis.postgres import Database
from chassis.problems import ProblemError
from darkroom_contracts.api.dead_letters import DeadLetterQuery
from darkroom_contracts.states import LetterKind
from operations.desk import searching
from operations.desk.searching import Letters
from tests.integration.operations.desk_letters import DeskLetters

KINDS = ("job", "orphan", "undecodable", "webhook")


async def found(pool: Database, **query: Any) -> list[UUID]:
    """Return the ids of all pages."""
    ids: list[UUID] = []
    cursor = None
    while True:
        page = await Letters(pool).page(DeadLetterQuery(**query, cursor=cursor))
        ids += [letter.id for letter in page.dead_letters]
        cursor = page.next_cursor
        if cursor is None:
            return ids


async def test_the_newest_come_first_page_by_page(pool: Database, letters: DeskLetters) -> None:
    """Whatever their kind, none twice and none left out, and null after the last."""
    ids = [each for kind in KINDS for each in await letters.add(5, kind)]
    for limit in (1, 3, 7, 19, 20, 21):
        assert await found(pool, limit=limit) == sorted(ids, reverse=True)


async def test_new_letters_do_not_move_the_next_page(pool: Database, letters: DeskLetters) -> None:
    """A cursor is a place, not a number of letters."""
    old = await letters.add(4, ago=timedelta(hours=1))
    page = await Letters(pool).page(DeadLetterQuery(limit=2))
    await letters.add(3)
    following = await Letters(pool).page(DeadLetterQuery(limit=2, cursor=page.next_cursor))
    assert [each.id for each in [*page.dead_letters, *following.dead_letters]] == old


@pytest.mark.parametrize("folded", [True, False])
async def test_each_filter_finds_its_letters(pool: Database, letters: DeskLetters, folded: bool) -> None:
    """Alone and together, also those whose group the folder has not made yet."""
    job = uuid4()
    wanted = (
        await letters.add(
            tenant="ada", model="flux", worker="ansel", job=job, message="Odd shape", code="pipeline_error"
        )
    )[0]
    await letters.add(3, tenant="bob", model="tiny", worker="berenice")
    await letters.add(3, "undecodable", code="undecodable", message="not JSON")
    if folded:
        await letters.fold()
    row = await letters.row(wanted)
    filters: dict[str, Any] = {
        "tenant": "ada",
        "model": "flux",
        "worker": "ansel",
        "job": job,
        "reason": "pipeline_error",
        "fingerprint": row["fingerprint"],
        "group": row["group_id"],
        "text": "odd SHAPE",
    }
    for name, value in filters.items():
        assert await found(pool, **{name: value}) == [wanted], name
        assert await found(pool, **{name: value}, kind=LetterKind.UNDECODABLE) == [], name
    assert await found(pool, **filters, kind=LetterKind.JOB) == [wanted]
    assert len(await found(pool, kind=LetterKind.UNDECODABLE)) == 3


async def test_a_status_is_a_filter(pool: Database, letters: DeskLetters) -> None:
    """Open ones, unless others are asked for."""
    by_status = {
        status: (await letters.add(2, status=status, tenant="ada"))
        for status in ("open", "replaying", "replayed", "discarded")
    }
    await letters.fold()
    assert await found(pool) == by_status["open"]
    for status, ids in by_status.items():
        assert await found(pool, status=status) == ids
        assert await found(pool, status=status, tenant="ada") == ids
        assert await found(pool, status=status, model="tiny") == ids
    assert len(await found(pool, status="any", limit=3)) == 8


async def test_times_are_bounds(pool: Database, letters: DeskLetters) -> None:
    """From a moment, which is included, to another, which is not."""
    ids = await letters.add(5)
    moments = [moment_of(each) for each in ids]
    assert await found(pool, created_after=moments[3]) == ids[:4]
    assert await found(pool, created_before=moments[1], tenant=None) == ids[2:]
    assert await found(pool, created_after=moments[3], created_before=moments[1], model="tiny") == ids[2:4]


async def test_an_unknown_value_finds_nothing(pool: Database, letters: DeskLetters) -> None:
    """A name that does not exist is an empty list."""
    await letters.add(2, tenant="ada")
    for query in ({"tenant": "nobody"}, {"model": "x"}, {"worker": "x"}, {"group": uuid4()}, {"text": str(uuid4())}):
        assert await found(pool, **query) == []


async def test_text_is_looked_for_as_it_was_written(pool: Database, letters: DeskLetters) -> None:
    """Its numbers too; `#` stands for any number, id or path. Signs of patterns mean themselves."""
    [twenty] = await letters.add(message="Tried to allocate 20.00 MiB")
    [thirty] = await letters.add(message="Tried to allocate 30.00 MiB")
    [percent] = await letters.add(message="100% of _memory_ was used")
    await letters.fold()
    assert await letters.group(twenty) == await letters.group(thirty)
    assert await found(pool, text="allocate 30.00") == [thirty]
    assert await found(pool, text="ALLOCATE #") == [thirty, twenty]
    assert await found(pool, text="% of _mem") == [percent]
    assert await found(pool, text="%") == [percent]
    assert await found(pool, text="\\") == []


async def test_an_id_finds_what_it_names(pool: Database, letters: DeskLetters) -> None:
    """The letter itself, and those of a job, a delivery or a group."""
    job = uuid4()
    of_job = await letters.add(2, job=job)
    [webhook] = await letters.add(1, "webhook", message="The receiver answered 500.", code="webhook_exhausted")
    delivery = (await letters.row(webhook))["delivery_id"]
    assert await found(pool, text=str(of_job[0])) == of_job[:1]
    assert await found(pool, text=str(job).upper()) == of_job
    assert await found(pool, text=str(delivery)) == [webhook]
    assert await found(pool, text=str(await letters.group(of_job[0]))) == of_job
    assert await found(pool, text=str(job), kind=LetterKind.WEBHOOK) == []


async def test_a_page_looks_at_a_bounded_number(
    pool: Database, letters: DeskLetters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page without a match can have a next one; the last page has none."""
    monkeypatch.setattr(searching, "LOOKED_AT", 5)
    rare = await letters.add(1, tenant="ada", worker="ansel", ago=timedelta(hours=1))
    await letters.add(20, tenant="ada", worker="berenice")
    page = await Letters(pool).page(DeadLetterQuery(tenant="ada", text="CUDA", limit=2))
    assert page.next_cursor is not None
    page = await Letters(pool).page(DeadLetterQuery(worker="berenice", model="other", limit=2))
    assert page.dead_letters == []
    assert await found(pool, tenant="ada", worker="ansel", limit=2) == rare


async def test_a_filter_of_many_groups_is_applied_to_the_letters(
    pool: Database, letters: DeskLetters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where merging them would cost more than looking at the newest letters."""
    monkeypatch.setattr(searching, "MOST_GROUPS", 2)
    ids = [each for word in ("red", "green", "blue") for each in await letters.add(2, message=f"a {word} failure")]
    await letters.add(2, message="another one")
    await letters.fold()
    assert await found(pool, text="failure", limit=2) == sorted(ids, reverse=True)
    assert len(await found(pool, model="tiny", limit=3)) == 8


@pytest.mark.parametrize("cursor", ["", "newest", "A" * 23])
async def test_a_malformed_cursor_is_refused(pool: Database, cursor: str) -> None:
    """It names the field."""
    with pytest.raises(ProblemError) as refused:
        await Letters(pool).page(DeadLetterQuery(cursor=cursor))
    assert refused.value.problem.field == "cursor"


async def test_what_a_summary_shows(pool: Database, letters: DeskLetters) -> None:
    """The error, and sizes instead of what is hidden."""
    [letter_id] = await letters.add(tenant="ada", worker="ansel", returns=2)
    [shown] = (await Letters(pool).page(DeadLetterQuery())).dead_letters
    assert (shown.id, shown.kind, shown.status, shown.tenant, shown.model) == (letter_id, "job", "open", "ada", "tiny")
    assert (shown.worker, shown.returns, shown.body_bytes, shown.reason) == ("ansel", 2, 36, "out_of_memory")
    assert shown.error.message.startswith("CUDA")
    assert shown.group_id == await letters.group(letter_id)
