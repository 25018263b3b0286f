"""Discarding dead letters, one or all of a scope, and restoring them."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from chassis.postgres import Database
from chassis.problems import ProblemError
from darkroom_contracts.api.dead_letters import BulkDiscardReply, BulkDiscardRequest, LetterScope
from darkroom_contracts.states import LetterKind
from operations.desk import closing
from operations.desk.closing import Closing
from operations.errors import ConflictError, CountDiffersError, NotFoundError, UnknownLetterError
from tests.integration.operations.desk_letters import DeskLetters
from tests.integration.operations.jobs import Jobs
from tests.integration.operations.orphans import record_orphan

WHY = "nobody waits for them"


async def discard_all(
    pool: Database, count: int | None = None, *, dry_run: bool = False, **scope: Any
) -> BulkDiscardReply:
    request = BulkDiscardRequest(scope=LetterScope(**scope), reason=WHY, count=count, dry_run=dry_run)
    return await Closing(pool).discard_all("key", request)


async def test_a_letter_is_discarded_once_and_restored_once(pool: Database, jobs: Jobs, letters: DeskLetters) -> None:
    """Each act is in the audit log; one that is refused leaves no entry."""
    job_id = await jobs.dead()
    letter_id = (await jobs.letter(job_id))["id"]
    use = Closing(pool)
    discarded = await use.discard("key", letter_id, WHY)
    assert (discarded.status, discarded.resolved_at is None) == ("discarded", False)
    with pytest.raises(ConflictError, match="is discarded"):
        await use.discard("key", letter_id, WHY)
    restored = await use.restore("key", letter_id, "a mistake")
    assert (restored.status, restored.resolved_at) == ("open", None)
    with pytest.raises(ConflictError, match="is open"):
        await use.restore("key", letter_id, WHY)
    assert [tuple(row)[:4] for row in await letters.audit()] == [
        ("key", "dead_letter.discard", str(letter_id), WHY),
        ("key", "dead_letter.restore", str(letter_id), "a mistake"),
    ]


async def test_two_who_discard_at_once(pool: Database, letters: DeskLetters) -> None:
    """One does, the other gets a conflict; one entry."""
    [letter_id] = await letters.add()
    results = await asyncio.gather(
        *(Closing(pool).discard(f"key-{n}", letter_id, WHY) for n in range(5)), return_exceptions=True
    )
    assert sum(isinstance(result, ConflictError) for result in results) == 4
    assert len(await letters.audit()) == 1


async def test_an_unknown_letter(pool: Database) -> None:
    """It is not found."""
    for act in (Closing(pool).discard, Closing(pool).restore):
        with pytest.raises(UnknownLetterError) as unknown:
            await act("key", uuid4(), WHY)
        assert isinstance(unknown.value, NotFoundError)


async def test_what_is_gone_stays_closed(pool: Database, jobs: Jobs, letters: DeskLetters) -> None:
    """A letter whose job or delivery is gone, or moved on, isn't opened again."""
    deleted, purged, moved = [await jobs.dead() for _ in range(3)]
    webhook = await jobs.given_up(await jobs.ended("succeeded"))
    orphan = (await record_orphan(pool, jobs))["id"]
    ids = [(await jobs.letter(job_id))["id"] for job_id in (deleted, purged, moved)]
    for letter_id in (*ids, webhook, orphan):
        await Closing(pool).discard("key", letter_id, WHY)
    await jobs.set(deleted, deleted_at="now()")
    await jobs.execute("DELETE FROM jobs WHERE id = $1", purged)
    await jobs.set(moved, status="'queued'", generation="2", completed_at="NULL", dead_lettered="false", error="NULL")
    await jobs.execute(
        "DELETE FROM webhook_deliveries WHERE id = (SELECT delivery_id FROM dead_letters WHERE id = $1)", webhook
    )
    await jobs.execute("UPDATE instance SET purged_before = now()")
    for letter_id in (*ids, webhook, orphan):
        with pytest.raises(ConflictError):
            await Closing(pool).restore("key", letter_id, WHY)
    assert await letters.with_status("open") == set()


async def test_a_delivery_has_one_open_letter(pool: Database, jobs: Jobs, letters: DeskLetters) -> None:
    """A discarded one isn't restored beside another."""
    old = await jobs.given_up(await jobs.ended("succeeded"))
    await Closing(pool).discard("key", old, WHY)
    await letters.execute(
        "INSERT INTO dead_letters (kind, delivery_id, reason, error, fingerprint)"
        " SELECT kind, delivery_id, reason, error, fingerprint FROM dead_letters WHERE id = $1",
        old,
    )
    with pytest.raises(ConflictError, match="another dead letter"):
        await Closing(pool).restore("key", old, WHY)


async def test_kinds_without_a_job_are_restored(pool: Database, jobs: Jobs, letters: DeskLetters) -> None:
    """Undecodable messages, orphans and webhooks."""
    [undecodable] = await letters.add(1, "undecodable")
    webhook = await jobs.given_up(await jobs.ended("succeeded"))
    orphan = (await record_orphan(pool, jobs))["id"]
    for letter_id in (undecodable, webhook, orphan):
        await Closing(pool).discard("key", letter_id, WHY)
        assert (await Closing(pool).restore("key", letter_id, WHY)).status == "open"


async def test_a_scope_is_discarded_with_its_count(pool: Database, letters: DeskLetters) -> None:
    """A dry run counts; the count confirms; one entry stands for all."""
    wanted = await letters.add(3, tenant="ada")
    others = await letters.add(2, tenant="bob")
    counted = await discard_all(pool, dry_run=True, tenant="ada")
    assert counted == BulkDiscardReply(count=3, discarded=0, remaining=3, left_out=0)
    assert await letters.with_status("discarded") == set()
    done = await discard_all(pool, counted.count, tenant="ada")
    assert done == BulkDiscardReply(count=3, discarded=3, remaining=0, left_out=0)
    assert await letters.with_status("discarded") == {*wanted}
    assert await letters.with_status("open") == {*others}
    [entry] = await letters.audit()
    assert (entry["actor"], entry["action"], entry["reason"]) == ("key", "dead_letters.discard", WHY)
    assert json.loads(entry["before"]) == {"scope": {"tenant": "ada"}, "open": 3}
    assert json.loads(entry["after"]) == {"open": 0, "discarded": 3}


@pytest.mark.parametrize("count", [0, 2, 4])
async def test_another_count_discards_nothing(pool: Database, letters: DeskLetters, count: int) -> None:
    """The refusal has the number."""
    await letters.add(3)
    with pytest.raises(CountDiffersError, match="has 3 open dead letters"):
        await discard_all(pool, count, kind=LetterKind.JOB)
    assert await letters.with_status("discarded") == set()
    assert await letters.audit() == []


async def test_an_id_in_the_text_names_letters(pool: Database, letters: DeskLetters) -> None:
    """As in a list: those of that id, job, delivery or group."""
    job = uuid4()
    [own] = await letters.add(job=job)
    [other] = await letters.add(message="another failure")
    for text, named in ((str(job), own), (str(await letters.group(other)), other)):
        assert (await discard_all(pool, dry_run=True, text=text)).count == 1
        await discard_all(pool, 1, text=text)
        assert (await letters.row(named))["status"] == "discarded"


async def test_orphans_and_what_came_back_twice_must_be_named(pool: Database, letters: DeskLetters) -> None:
    """By their kind and by their ids."""
    [plain] = await letters.add(model="flux")
    [orphan] = await letters.add(1, "orphan", model="flux")
    [again] = await letters.add(model="flux", returns=2)
    counted = await discard_all(pool, dry_run=True, model="flux")
    assert (counted.count, counted.left_out) == (1, 2)
    await discard_all(pool, 1, model="flux")
    assert await letters.with_status("discarded") == {plain}
    assert (await discard_all(pool, 1, kind=LetterKind.ORPHAN)).discarded == 1
    assert (await discard_all(pool, 1, ids=[orphan, again])).discarded == 1
    assert await letters.with_status("open") == set()


async def test_every_field_narrows_a_scope(pool: Database, letters: DeskLetters) -> None:
    """As it narrows a list; an unknown tenant has no letters."""
    job = uuid4()
    [wanted] = await letters.add(tenant="ada", model="flux", worker="ansel", job=job, message="Odd 7", code="other")
    await letters.add(3, tenant="bob", ago=timedelta(hours=1))
    row = await letters.row(wanted)
    fields: dict[str, Any] = {
        "tenant": "ada",
        "model": "flux",
        "worker": "ansel",
        "job": job,
        "reason": "other",
        "fingerprint": row["fingerprint"],
        "group": row["group_id"],
        "created_after": row["created_at"] - timedelta(minutes=1),
    }
    for fields_of_one in (
        *({name: value} for name, value in fields.items()),
        {"text": "odd 7"},
        {"text": "ODD #"},
        fields,
    ):
        assert (await discard_all(pool, dry_run=True, **fields_of_one)).count == 1, fields_of_one
    before = datetime.now(UTC) - timedelta(minutes=30)
    assert (await discard_all(pool, dry_run=True, created_before=before)).count == 3
    assert (await discard_all(pool, dry_run=True, tenant="nobody")).count == 0


@pytest.mark.parametrize(("scope", "count", "field"), [({}, 1, "scope"), ({"model": "tiny"}, None, "count")])
async def test_an_act_needs_a_scope_and_a_count(pool: Database, scope: Any, count: int | None, field: str) -> None:
    """Nothing is discarded by a slip."""
    with pytest.raises(ProblemError) as refused:
        await discard_all(pool, count, **scope)
    assert refused.value.problem.field == field


async def test_a_large_scope_takes_several_requests(
    pool: Database, letters: DeskLetters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each says how many remain, the oldest go first."""
    monkeypatch.setattr(closing, "MAX_DISCARDED", 4)
    ids = await letters.add(10)
    count, done = 10, []
    while count:
        reply = await discard_all(pool, count, kind=LetterKind.JOB)
        done.append(reply.discarded)
        if len(done) == 1:
            assert await letters.with_status("discarded") == {*ids[-4:]}
        count = reply.remaining
    assert done == [4, 4, 2]


async def test_bulk_discards_at_once(pool: Database, letters: DeskLetters) -> None:
    """Each letter is discarded by one of them, and counted by that one alone."""
    await letters.add(50)
    requests = (discard_all(pool, 50, kind=LetterKind.JOB) for _ in range(4))
    results = await asyncio.gather(*requests, return_exceptions=True)
    assert sum(result.discarded for result in results if isinstance(result, BulkDiscardReply)) == 50
    assert all(isinstance(result, BulkDiscardReply | CountDiffersError) for result in results)


def test_a_scope_names_a_bounded_number_of_letters() -> None:
    """More are asked for by a filter."""
    for ids in ([], [str(UUID(int=n)) for n in range(1001)]):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({"ids": ids}, LetterScope)
