"""Replays of edited jobs."""

import json
from typing import Any

import msgspec
import pytest

from chassis.postgres import Database
from darkroom_contracts.api.replays import InputEdit, ReplayEdit
from operations.replays.outcome import Replayed, ReplayRefusedError, UnfitEditError
from operations.replays.replay import replay
from tests.integration.operations.jobs import INPUT, Jobs
from tests.integration.operations.orphans import record_orphan
from tests.integration.operations.replays.catalogues import catalogue

ACTOR = "command:test"


async def dead(jobs: Jobs) -> Any:
    """Insert a dead job with a complete input, and return its letter."""
    job_id = await jobs.dead(input=f"'{msgspec.json.encode(INPUT).decode()}'", cost="16384")
    return await jobs.letter(job_id)


async def edited(pool: Database, letter: Any, edit: ReplayEdit) -> Replayed:
    replayed = await replay(pool, letter["id"], ACTOR, catalogue, edit=edit, reason="too big")
    assert isinstance(replayed, Replayed)
    return replayed


async def test_an_edit_is_kept_beside_what_was_submitted(pool: Database, jobs: Jobs) -> None:
    """An edit becomes the job's overrides and changes its cost; input and model stay as submitted."""
    letter = await dead(jobs)
    await edited(pool, letter, ReplayEdit(input=InputEdit(num_inference_steps=2, width=128)))
    job = await jobs.row(letter["job_id"])
    assert json.loads(job["overrides"]) == {"input": {"num_inference_steps": 2, "width": 128}}
    assert msgspec.json.decode(job["input"], type=type(INPUT)) == INPUT
    assert (job["model"], job["queue"], job["cost"], job["generation"]) == ("tiny", "tiny", 2 * 128 * 64, 2)


async def test_another_model_moves_the_job_to_its_queue(pool: Database, jobs: Jobs) -> None:
    """With an edited model the job's message goes to that model's queue."""
    letter = await dead(jobs)
    await edited(pool, letter, ReplayEdit(model="large"))
    [message] = await jobs.fetch("SELECT model, generation FROM outbox")
    assert tuple(message) == ("large", 2)
    assert (await jobs.row(letter["job_id"]))["model"] == "tiny"


async def test_later_edits_add_to_earlier_ones(pool: Database, jobs: Jobs) -> None:
    """A second edit replaces the fields that it names, and the earlier edit's others stay; a replay keeps all."""
    letter = await dead(jobs)
    job_id = letter["job_id"]
    await edited(pool, letter, ReplayEdit(model="large", input=InputEdit(num_inference_steps=2, seed=5)))
    for edit in (ReplayEdit(input=InputEdit(num_inference_steps=3)), None):
        await jobs.finish(job_id, await jobs.claim(job_id), "failed")
        await replay(pool, (await jobs.letter(job_id))["id"], ACTOR, catalogue, edit=edit)
    job = await jobs.row(job_id)
    assert json.loads(job["overrides"]) == {"model": "large", "input": {"num_inference_steps": 3, "seed": 5}}
    assert (job["generation"], job["cost"]) == (4, 3 * 64 * 64)


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        (ReplayEdit(input=InputEdit(num_inference_steps=900)), "num_inference_steps that must lie between 1 and 500"),
        (ReplayEdit(input=InputEdit(scheduler="magic")), "scheduler that must be one of ddim"),
        (ReplayEdit(model="absent"), "the model absent, which must be one of tiny, large"),
        (ReplayEdit(model="large", input=InputEdit(num_inference_steps=11)), "must lie between 1 and 10"),
    ],
)
async def test_an_edit_outside_the_bounds_is_refused(
    pool: Database, jobs: Jobs, edit: ReplayEdit, complaint: str
) -> None:
    """The edited job is held to the bounds of the model that renders it. A refusal changes nothing."""
    letter = await dead(jobs)
    with pytest.raises(UnfitEditError, match=complaint):
        await edited(pool, letter, edit)
    assert (await jobs.status(letter["job_id"]), (await jobs.letter(letter["job_id"]))["status"]) == ("failed", "open")


async def test_the_audit_names_edit_and_reason(pool: Database, jobs: Jobs) -> None:
    """The audit entry has the reason, the new generation and the edit."""
    letter = await dead(jobs)
    await edited(pool, letter, ReplayEdit(input=InputEdit(width=128)))
    [entry] = await jobs.fetch("SELECT reason, after FROM audit_log")
    assert entry["reason"] == "too big"
    assert json.loads(entry["after"]) == {
        "job_id": str(letter["job_id"]),
        "generation": 2,
        "edit": {"input": {"width": 128}},
    }


async def test_an_orphan_is_made_again_edited(pool: Database, jobs: Jobs) -> None:
    """An orphan of a model that is gone becomes a job of the model that the edit names."""
    letter = await record_orphan(pool, jobs, model="gone")
    with pytest.raises(ReplayRefusedError, match="the model gone"):
        await replay(pool, letter["id"], ACTOR, catalogue)
    await edited(pool, letter, ReplayEdit(model="tiny", input=InputEdit(num_inference_steps=2)))
    job = await jobs.row(letter["job_id"])
    assert (job["model"], job["queue"], job["cost"]) == ("gone", "tiny", 2 * 64 * 64)
    assert json.loads(job["overrides"]) == {"model": "tiny", "input": {"num_inference_steps": 2}}


async def test_an_orphan_without_an_edit_has_no_overrides(pool: Database, jobs: Jobs) -> None:
    """An orphan that is made again as it was shows no edits."""
    letter = await record_orphan(pool, jobs)
    await replay(pool, letter["id"], ACTOR, catalogue)
    assert (await jobs.row(letter["job_id"]))["overrides"] is None


async def test_a_webhook_can_not_be_edited(pool: Database, jobs: Jobs) -> None:
    """A webhook's replay with an edit is refused."""
    letter_id = await jobs.given_up(await jobs.dead())
    with pytest.raises(UnfitEditError, match="without an edit"):
        await replay(pool, letter_id, ACTOR, catalogue, edit=ReplayEdit(model="tiny"))
