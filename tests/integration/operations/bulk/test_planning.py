"""Plans of bulk replays."""

import asyncio

import msgspec
import pytest

from darkroom_contracts.api.dead_letters import LetterScope
from darkroom_contracts.api.replays import BulkReplayRequest, InputEdit, ItemState, Ramp, ReplayEdit, ReplayStatus
from darkroom_contracts.states import LetterKind
from operations.errors import InvalidRequestError
from operations.letters.ingest import ingest
from tests.integration.operations.bulk.floor import ACTOR, TINY, Floor
from tests.integration.operations.orphans import record_orphan


async def test_a_plan_freezes_letters_oldest_first(floor: Floor) -> None:
    """A plan has an item for each open letter of its scope, the oldest first, and replays nothing."""
    dead = await floor.dead(3)
    planned = await floor.planned()
    assert (planned.status, planned.items.pending, planned.verdicts) == (ReplayStatus.PLANNED, 3, {"will replay": 3})
    items = await floor.items(planned.id)
    assert [(item.position, item.job_id) for item in items] == list(enumerate(dead, 1))
    assert await floor.generations() == [1, 1, 1]
    await floor.agrees(planned.id)


async def test_later_letters_are_not_in_a_plan(floor: Floor) -> None:
    """Letters that come after the plan was asked for are not in it, though it was not made yet."""
    await floor.dead(1)
    replay_id = await floor.asked()
    await floor.dead(1)
    while await floor.planning.run_once():
        pass
    assert (await floor.control.find(replay_id)).items.pending == 1


async def test_a_plan_goes_on_where_another_process_stopped(floor: Floor) -> None:
    """Steps of two processes freeze each letter once, and a process that plans does not wait for another."""
    await floor.dead(7)
    replay_id = await floor.asked()
    others = [Floor(floor.pool, floor.jobs, chunk=2).planning for _ in range(2)]
    while (await floor.control.find(replay_id)).status is ReplayStatus.PLANNING:
        await asyncio.gather(*(each.run_once() for each in others))
    assert [item.position for item in await floor.items(replay_id)] == [*range(1, 8)]
    await floor.agrees(replay_id)


async def test_a_plan_says_what_would_be_refused(floor: Floor) -> None:
    """Letters that can't be replayed are in the plan with the reason, and don't count as to be replayed."""
    deleted, unfit, fit = await floor.dead(3)
    await floor.jobs.set(deleted, deleted_at="now()")
    await floor.jobs.set(unfit, input="jsonb_set(input, '{height}', '500')")
    await ingest(floor.pool, b"garbage", {})
    ids = [row["id"] for row in await floor.jobs.fetch("SELECT id FROM dead_letters")]
    planned = await floor.planned(LetterScope(ids=ids), edit=ReplayEdit(input=InputEdit(width=520)))
    assert planned.verdicts == {"job deleted": 1, "edit does not fit": 2, "undecodable": 1}
    again = await floor.planned(LetterScope(ids=ids), edit=ReplayEdit(input=InputEdit(num_inference_steps=2)))
    assert again.verdicts == {"job deleted": 1, "edit does not fit": 1, "undecodable": 1, "will replay": 1}
    [item] = await floor.items(again.id, ItemState.PENDING)
    assert item.job_id == fit
    refused = {item.verdict: item.error or "" for item in await floor.items(again.id, ItemState.REFUSED)}
    assert "must be a multiple of 8" in refused["edit does not fit"]
    assert "no job to replay" in refused["undecodable"]
    await floor.agrees(again.id)


async def test_a_plan_names_what_a_bulk_act_leaves_out(floor: Floor) -> None:
    """Orphans whose kind is not named, and letters that came back twice, are refused, with what helps."""
    first, back, _ = await floor.dead(3)
    await record_orphan(floor.pool, floor.jobs)
    await floor.dead(1)
    await floor.jobs.execute("UPDATE dead_letters SET returns = 2 WHERE job_id = $1", back)
    planned = await floor.planned()
    assert planned.verdicts == {"will replay": 3, "came back twice before": 1, "orphan": 1}
    items = await floor.items(planned.id)
    assert [item.verdict for item in items] == [
        "will replay",
        "came back twice before",
        "will replay",
        "orphan",
        "will replay",
    ]
    assert ["by its id" in (items[1].error or ""), "the kind orphan" in (items[3].error or "")] == [True, True]
    assert items[0].job_id == first
    named = await floor.planned(LetterScope(ids=[item.letter_id for item in items]))
    assert named.verdicts == {"will replay": 5}
    await floor.agrees(planned.id)


async def test_named_letters_that_are_closed_are_in_the_plan(floor: Floor) -> None:
    """With what closed them; by a filter they are not meant."""
    dead = await floor.dead(3)
    ids = [(await floor.jobs.letter(job_id))["id"] for job_id in dead]
    await floor.jobs.execute("UPDATE dead_letters SET status = 'discarded', resolved_at = now() WHERE id = $1", ids[0])
    await floor.started(LetterScope(ids=[ids[1]]))
    await floor.run()
    planned = await floor.planned(LetterScope(ids=ids))
    assert planned.verdicts == {"discarded": 1, "replayed already": 1, "will replay": 1}
    assert (await floor.planned()).verdicts == {"will replay": 1}


async def test_a_plan_holds_orphans_to_the_catalogue(floor: Floor) -> None:
    """An orphan whose kind is named is planned as its replay would find it."""
    await record_orphan(floor.pool, floor.jobs)
    await record_orphan(floor.pool, floor.jobs, model="gone")
    planned = await floor.planned(LetterScope(kind=LetterKind.ORPHAN))
    assert planned.verdicts == {"will replay": 1, "message does not fit": 1}


async def test_webhooks_are_planned_unless_edited(floor: Floor) -> None:
    """A given up webhook can be sent again in bulk, and can't be edited."""
    await floor.jobs.given_up((await floor.dead(1))[0])
    scope = LetterScope(kind=LetterKind.WEBHOOK)
    assert (await floor.planned(scope)).verdicts == {"will replay": 1}
    assert (await floor.planned(scope, edit=ReplayEdit(model="large"))).verdicts == {"edit does not fit": 1}


async def test_a_canceled_plan_stays_canceled(floor: Floor) -> None:
    """A plan that is canceled in its middle freezes no further letters."""
    await floor.dead(3)
    replay_id = await floor.asked()
    await Floor(floor.pool, floor.jobs, chunk=2).planning.run_once()
    await floor.control.cancel(ACTOR, replay_id, None)
    assert not await floor.planning.run_once()
    canceled = await floor.control.find(replay_id)
    assert (canceled.status, canceled.items.pending) == (ReplayStatus.CANCELED, 2)


async def test_a_plan_that_cannot_be_made_stops_no_other(floor: Floor) -> None:
    """Its round fails, which is logged and repeated, after the plans behind it were made."""
    broken, whole = await floor.dead(2)
    await floor.jobs.execute("UPDATE dead_letters SET error = '{}' WHERE job_id = $1", broken)
    letters = [(await floor.jobs.letter(job_id))["id"] for job_id in (broken, whole)]
    first, second = [await floor.asked(LetterScope(ids=[letter_id])) for letter_id in letters]
    with pytest.raises(msgspec.ValidationError):
        await floor.planning.run_once()
    statuses = [(await floor.control.find(each)).status for each in (first, second)]
    assert statuses == [ReplayStatus.PLANNING, ReplayStatus.PLANNED]


@pytest.mark.parametrize(
    ("request_", "complaint"),
    [
        (BulkReplayRequest(scope=LetterScope()), "scope is empty"),
        (BulkReplayRequest(scope=TINY, pace=1.0, ramp=Ramp()), "a pace or a ramp"),
    ],
)
async def test_an_unclear_request_is_refused(floor: Floor, request_: BulkReplayRequest, complaint: str) -> None:
    """A scope without any filter, and a pace beside a ramp, are refused."""
    with pytest.raises(InvalidRequestError, match=complaint):
        await floor.control.plan(ACTOR, request_)
