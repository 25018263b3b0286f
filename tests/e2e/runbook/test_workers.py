"""What goes wrong at a worker, what the desk shows, and what an operator does about it."""

import asyncio
import hashlib
import shutil
from pathlib import Path

import pytest

from tests.e2e.runbook.desk import REPLAYS, WORKERS, Desk
from tests.support.fixtures import ObjectStoreFactory
from tests.support.http_client import Client
from tests.support.render_faults import CRASHES_WIDE, WORKER_FAULT
from tests.support.stack import Stack
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(300)

WIDE = {"width": 128, "height": 128}


async def test_one_worker_runs_out_of_memory(desk: Desk, stack: Stack, client: Client) -> None:
    """The suspects name it, though it renders nothing: drained, its letters are replayed by the others."""
    model = stack.spare_model()
    good = await stack.worker("gpu-1", model=model)
    await client.succeeded(*[await client.submit(model, **WIDE) for _ in range(12)])
    bad = await stack.worker("gpu-3", model=model, settings={WORKER_FAULT: "out_of_memory"})
    for _ in range(8):
        await client.submit(model, steps=60, **WIDE)
    letter = (await desk.arrived(2, model=model))[-1]
    told = await desk.opened(letter)
    assert (told["reason"], told["model"]) == ("out_of_memory", model)
    group = await desk.suspecting(letter, "model_revision")
    assert group["message"].startswith("128x128, 1 picture, decoded in tiles, did not fit in the 0.1 GiB")
    prime = group["suspects"][0]
    assert (prime["kind"], prime["value"], prime["share"]) == ("worker", "gpu-3", 1.0)
    assert prime["usual_share"] < 1
    size = next(suspect for suspect in group["suspects"] if suspect["kind"] == "size")
    assert (size["value"], size["usual_share"]) == ("128x128", 1.0)
    await desk.run("dead-letters", "groups", "--model", model)
    await desk.run("dead-letters", "groups", letter["group_id"])

    async def at_rest() -> bool:
        return {worker["state"] for worker in (await desk.get(WORKERS, model=model))["workers"]} == {"idle"}

    await eventually(at_rest, seconds=60, what="both workers are idle")
    await desk.run("workers")
    attempts = (await desk.shown(letter))["attempts"]
    assert [(each["worker"], each["error"]["code"]) for each in attempts][-1] == ("gpu-3", "out_of_memory")

    await desk.run("workers", "drain", "gpu-3", "--reason", "out of memory since noon")

    async def drained() -> bool:
        (worker,) = (await desk.get(WORKERS, worker="gpu-3"))["workers"]
        return bool(worker["state"] == "drained")

    await eventually(drained, seconds=30, what="gpu-3 is drained")
    dead = (await desk.group(letter))["open"]
    await desk.confirm(dead, "dead-letters", "replay", "--group", letter["group_id"], "--ramp", "1,2,5,10")
    (replay,) = (await desk.get(REPLAYS, limit=1))["replays"]
    assert (replay["items"]["failed"], replay["items"]["succeeded"]) == (0, dead)
    await desk.closed(letter)
    assert [await worker.stop() for worker in (good, bad)] == [0, 0]


async def test_a_size_crashes_the_render_process(desk: Desk, stack: Stack, client: Client) -> None:
    """The job is poison after three lost processes; replayed in a smaller size it succeeds."""
    model = stack.spare_model()
    worker = await stack.worker("gpu-2", model=model)
    job_id = await client.submit(model, prompt=CRASHES_WIDE, **WIDE)
    letter = await desk.letter(job=job_id)
    assert (await desk.opened(letter))["reason"] == "poison"
    assert letter["error"]["message"].startswith("This job ended the render process 3 times. The last time:")
    assert [each["error"]["code"] for each in letter["attempts"]] == ["render_process_lost"] * 2 + ["poison"]
    hidden = await desk.revealed(letter)
    assert (hidden["input"]["prompt"], hidden["input"]["width"]) == (CRASHES_WIDE, 128)
    assert any("Segmentation fault" in line for line in hidden["attempts"][-1]["last_lines"])
    assert (await desk.shown(letter))["acts"][-1]["action"] == "dead_letter.reveal"

    await desk.run("dead-letters", "show", letter["id"])
    await desk.run("dead-letters", "reveal", letter["id"], "--reason", "which size crashes it")
    assert await worker.metric('darkroom_render_process_losses_total{reason="SIGSEGV"}') == 3
    edit = {"input": {"width": 64, "height": 64}}
    smaller = ("--width", "64", "--height", "64", "--reason", "128 pixels crash the VAE")
    await desk.run("dead-letters", "replay", letter["id"], *smaller)
    (job,) = await client.succeeded(job_id)
    assert (job.edits, job.outputs[0].width) == (edit, 64)
    await desk.becomes(letter, "replayed")
    await desk.run("dead-letters", "show", letter["id"])
    await desk.closed(letter)
    assert await worker.stop() == 0


async def test_a_new_model_revision_is_broken(desk: Desk, stack: Stack, client: Client, tmp_path: Path) -> None:
    """The suspects name the revision: the model is paused, the old revision started, and the group replayed."""
    model = stack.spare_model()
    old = await stack.worker("gpu-4", model=model)
    await client.succeeded(*[await client.submit(model, **WIDE) for _ in range(10)])
    (session,) = (await desk.get(WORKERS, worker="gpu-4"))["workers"]
    assert await old.stop() == 0

    updated = tmp_path / "tiny"
    shutil.copytree(stack.places.models_home / "tiny", updated)
    settings = {"DARKROOM_MODELS_HOME": str(tmp_path), WORKER_FAULT: "non_finite_output"}
    _change_revision(updated)
    new = await stack.worker("gpu-4", model=model, settings=settings)
    for _ in range(3):
        await client.submit(model, **WIDE)
    letter = (await desk.arrived(3, model=model))[-1]
    assert (await desk.opened(letter))["reason"] == "non_finite_output"
    group = await desk.suspecting(letter, "model_revision")
    prime = group["suspects"][0]
    assert (prime["kind"], prime["share"]) == ("model_revision", 1.0)
    assert prime["value"] != session["model_revision"]
    assert prime["usual_share"] < 0.5
    (worker_shown,) = (await desk.get(WORKERS, worker="gpu-4"))["workers"]
    assert worker_shown["model_revision"] == prime["value"]

    await desk.run("dead-letters", "groups", letter["group_id"])
    await desk.run("queues", "pause", model, "--reason", "the new revision renders NaN")
    waiting = await client.submit(model, **WIDE)
    await eventually(lambda: "the model is paused" in new.output(), what="the worker has read of the pause")
    assert await new.stop() == 0
    back = await stack.worker("gpu-4", model=model)
    await desk.run("queues", "resume", model)
    await client.succeeded(waiting)
    await desk.confirm(3, "dead-letters", "replay", "--group", letter["group_id"], "--ramp", "1,2")
    (replay,) = (await desk.get(REPLAYS, limit=1))["replays"]
    assert (replay["items"]["succeeded"], replay["stage"]) == (3, 2)
    await desk.closed(letter)
    assert await back.stop() == 0


def _change_revision(folder: Path) -> None:
    """Change a file of the model as its publisher would."""
    changed, sums = folder / "scheduler" / "scheduler_config.json", folder / "SHA256SUMS"
    before = hashlib.sha256(changed.read_bytes()).hexdigest()
    changed.write_text(changed.read_text() + "\n")
    sums.write_text(sums.read_text().replace(before, hashlib.sha256(changed.read_bytes()).hexdigest()))


async def test_s3_was_away_for_too_long(
    desk: Desk, stack: Stack, client: Client, private_s3: ObjectStoreFactory
) -> None:
    """A ramp that is started too early pauses at its first job; once S3 is back it brings all to their pictures."""
    store = await private_s3()
    model, bucket = stack.spare_model(), await store.create_bucket()
    worker = await stack.worker("gpu-5", model=model, settings=bucket.environment())
    await store.stop()
    jobs = [await client.submit(model) for _ in range(3)]
    letter = (await desk.arrived(3, seconds=120, model=model))[-1]
    assert (await desk.opened(letter))["reason"] == "storage_unavailable"
    shown = await desk.shown(letter)
    assert (shown["error"]["stage"], shown["error"]["message"]) == ("store", "The pictures could not be stored.")
    assert [each["outcome"] for each in shown["attempts"]] == ["retried"] * 3 + ["failed"]
    assert "127.0.0.1" in (await desk.revealed(letter))["attempts"][-1]["cause"]
    failed = f'darkroom_attempt_errors_total{{code="storage_unavailable",model="{model}"}}'
    assert await worker.metric(failed) == 12

    await desk.run("dead-letters", "show", letter["id"])
    ramp = ("--group", letter["group_id"], "--ramp", "1,2")
    await desk.confirm(3, "dead-letters", "replay", *ramp, code=1)
    (early,) = (await desk.get(REPLAYS, limit=1))["replays"]
    assert early["paused_reason"].startswith("Stage 1 has a failure.")
    assert (early["items"]["failed"], early["items"]["pending"]) == (1, 2)
    await desk.run("replays", "show", early["id"])
    await desk.run("replays", "cancel", early["id"], "--reason", "S3 is still away")

    await store.start()
    await desk.confirm(3, "dead-letters", "replay", *ramp)
    (replay,) = (await desk.get(REPLAYS, limit=1))["replays"]
    assert (replay["items"]["succeeded"], replay["items"]["failed"]) == (3, 0)
    await client.succeeded(*jobs)
    assert len(await asyncio.to_thread(bucket.object_keys)) == 3
    await desk.closed(letter)
    assert await worker.stop() == 0
