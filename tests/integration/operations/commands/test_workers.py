"""`darkroom workers` against the service."""

from tests.integration.operations.commands.desk import Desk
from tests.integration.operations.jobs import Jobs


async def test_a_worker_is_seen_drained_and_resumed(desk: Desk, jobs: Jobs) -> None:
    """While it holds a job it drains, and the log has who asked for it."""
    await jobs.session()
    job_id = await jobs.queued()
    token = await jobs.claim(job_id)
    assert str(job_id) in (await desk("workers", key=desk.observer)).out
    assert "takes no other" in (await desk("workers", "drain", "ansel", "--reason", "a loud fan")).out
    assert "draining: it finishes its jobs" in (await desk("workers", "ansel")).out
    await jobs.finish(job_id, token, "succeeded")
    [shown] = (await desk("workers", "--model", "tiny", "--json")).json
    assert (shown["worker"], shown["state"]) == ("ansel", "drained")
    assert (await desk("workers", "resume", "ansel")).out == "ansel takes jobs again with its next heartbeat.\n"
    assert (await desk("workers", "resume", "ansel")).out == "ansel was not drained.\n"
    acts = (await desk("audit", "--subject", "ansel", "--json")).json
    assert [(act["action"], act["reason"]) for act in acts] == [("worker.resume", None), ("worker.drain", "a loud fan")]


async def test_a_worker_that_stopped_beating_is_named(desk: Desk, jobs: Jobs) -> None:
    """Before anything else."""
    await jobs.session(last_beat="now() - interval '1 minute'")
    assert (await desk("workers")).out.startswith("Stopped beating: ansel (silent, 1 min ago)")


async def test_nobody_at_work_is_an_answer(desk: Desk) -> None:
    """It says what that means; a name that nobody has is an error."""
    assert (await desk("workers")).out.startswith("No worker is running. ")
    for arguments in (("ansel",), ("drain", "ansel", "--reason", "x"), ("resume", "a/../b")):
        refused = await desk("workers", *arguments)
        assert (refused.exit_code, "`darkroom workers` shows all." in refused.err) == (1, True), refused
