"""Many dead letters, and those that come back."""

import json

import pytest

from tests.e2e.runbook.desk import LETTERS, REASON, REPLAYS, Desk
from tests.support.http_client import Client
from tests.support.render_faults import WORKER_FAULT
from tests.support.stack import Stack

pytestmark = pytest.mark.timeout(300)

WIDE = {"width": 128, "height": 128}
FLOOD = 10_000
COPY_JOB = """
    INSERT INTO jobs (id, tenant_id, model, input, traceparent, ttl, expires_at, webhook_events, cost, created_at,
        queued_at, announced_at)
    SELECT uuidv7(), tenant_id, model, input, traceparent, ttl, expires_at, webhook_events, cost, created_at, queued_at,
        announced_at
    FROM jobs, generate_series(2, $2::integer) WHERE id = $1::text::uuid
"""
FAIL_ALL = """
    SELECT count(*) FROM jobs WHERE queue = $1 AND status = 'queued'
        AND finish_job(id, generation, NULL, 'failed', $2::text::jsonb, the_body => '{}')
"""
ERROR = {
    "code": "worker_lost",
    "message": "Worker gpu-7 stopped sending heartbeats.",
    "retryable": True,
    "stage": "render",
}


async def test_ten_thousand_letters_wait_to_be_replayed(desk: Desk, stack: Stack, client: Client) -> None:
    """A ramp replays a few, and more only while they succeed; it is paused and resumed, and the rest is left alone."""
    model = stack.spare_model()
    job_id = await client.submit(model)
    await stack.ledger.rows(COPY_JOB, job_id, FLOOD)
    await stack.ledger.rows(FAIL_ALL, model, json.dumps(ERROR))
    [letter] = await desk.arrived(1, model=model, limit=1)
    assert (await desk.opened(letter))["reason"] == "worker_lost"
    group = await desk.group(letter, opened=FLOOD)
    assert (group["total"], sum(group["hours"])) == (FLOOD, FLOOD)
    await desk.metric(f'darkroom_dead_letters_open_by_code{{code="worker_lost",kind="job",model="{model}"}}', FLOOD)

    await desk.run("dead-letters", "groups", "--model", model)
    note = "The rack lost power. Ada replays them with a ramp."
    await desk.run("dead-letters", "note", letter["group_id"], note, "--known-until", "6h")
    assert (await desk.group(letter))["note"]["text"] == note
    await desk.run("dead-letters", "replay", "--group", letter["group_id"], "--ramp", "1,2,5,10", "--dry-run")
    (planned,) = (await desk.get(REPLAYS, limit=1))["replays"]
    assert (planned["items"]["pending"], planned["verdicts"]) == (FLOOD, {"will replay": FLOOD})
    replay = f"{REPLAYS}/{planned['id']}"
    assert (await desk.refusal(f"{replay}/start", count=FLOOD - 1)) == (
        409,
        "count_differs",
        f"The replay is of {FLOOD} dead letters. Confirm that number.",
    )
    await desk.confirm(FLOOD, "replays", "start", planned["id"], "--detach")
    first = await desk.replay_that(planned, lambda now: bool(now["items"]["replayed"] == 1), "one job is replayed")
    assert (first["stage"], first["items"]["pending"]) == (1, FLOOD - 1)
    worker = await stack.worker("gpu-8", model=model)
    await desk.replay_that(planned, lambda now: bool(now["stage"] == 4), "three stages have succeeded")
    await desk.run("replays", "pause", planned["id"], "--reason", "lunch")
    paused = await desk.replay_that(planned, lambda now: bool(now["items"]["replayed"] == 0), "nothing is under way")
    assert paused["paused_reason"] == "lunch"
    before = paused["items"]["succeeded"]
    assert 8 <= before < FLOOD
    await desk.run("replays", "show", planned["id"])
    await desk.run("replays", "resume", planned["id"])
    await desk.replay_that(planned, lambda now: bool(now["items"]["succeeded"] > before), "it goes on")
    await desk.run("replays", "cancel", planned["id"], "--reason", "the others are no longer wanted")
    done = await desk.replay_that(planned, lambda now: bool(now["items"]["replayed"] == 0), "all have ended")

    rest = done["items"]["pending"]
    assert done["items"]["failed"] == 0
    assert rest + done["items"]["succeeded"] == FLOOD
    await desk.group(letter, opened=rest)
    discard = {"scope": {"group": letter["group_id"]}, "reason": "no longer wanted"}
    assert (await desk.post(f"{LETTERS}/discard", **discard, dry_run=True))["count"] == rest
    rest_of = ("--group", letter["group_id"], "--reason", "no longer wanted")
    await desk.confirm(rest, "dead-letters", "discard", *rest_of)
    await desk.closed(letter)
    assert await worker.stop() == 0


async def test_a_letter_came_back_for_the_third_time(desk: Desk, stack: Stack, client: Client) -> None:
    """Bulk acts leave it out. Named, it is replayed on another model, where it succeeds."""
    broken, other = stack.spare_model(), stack.spare_model()
    worker = await stack.worker("gpu-9", model=broken, settings={WORKER_FAULT: "non_finite_output"})
    job_id = await client.submit(broken, **WIDE)
    for returns in range(2):
        (letter,) = await desk.arrived(1, job=job_id)
        assert letter["returns"] == returns
        await desk.post(f"{LETTERS}/{letter['id']}/replay", reason="perhaps it works now")
        await desk.becomes(letter, "replayed")
    letter = await desk.letter(job=job_id)
    assert (letter["returns"], letter["generation"], letter["status"]) == (2, 3, "open")
    assert [each["generation"] for each in letter["attempts"]] == [1, 2, 3]
    before = await desk.letters(job=job_id, status="replayed")
    assert [each["returns"] for each in before] == [1, 0]

    await desk.run("dead-letters", "show", letter["id"])
    await desk.refuse("dead-letters", "replay", "--group", letter["group_id"])
    group = {"group": letter["group_id"]}
    assert (await desk.planned(scope=group))["items"]["pending"] == 0
    counted = await desk.post(f"{LETTERS}/discard", scope=group, reason=REASON, dry_run=True)
    assert (counted["count"], counted["left_out"]) == (0, 1)
    named = await desk.planned(scope={"ids": [letter["id"]]})
    assert named["verdicts"] == {"will replay": 1}

    healthy = await stack.worker("gpu-10", model=other)
    edit = {"model": other}
    there = ("--to-model", other, "--reason", "renders NaN here, and well there")
    await desk.run("dead-letters", "replay", letter["id"], *there)
    (job,) = await client.succeeded(job_id)
    assert (job.edits, job.generation) == (edit, 4)
    await desk.becomes(letter, "replayed")
    await desk.closed(letter)
    assert [await each.stop() for each in (worker, healthy)] == [0, 0]
