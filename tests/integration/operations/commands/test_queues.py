"""`darkroom queues` against the service."""

from tests.integration.operations.commands.desk import Desk
from tests.integration.operations.jobs import Jobs


async def test_a_model_is_paused_seen_and_resumed(desk: Desk, jobs: Jobs) -> None:
    """The pause says how many waiting jobs it costs, the list why they wait, and the log who did it."""
    await jobs.queued(expires_at="now() + interval '30 minutes'")
    await jobs.queued(expires_at="now() + interval '5 hours'")
    paused = await desk("queues", "pause", "tiny", "--reason", "new weights")
    assert "1 will expire if the pause lasts an hour, and 2 if it lasts a day." in paused.out
    shown = await desk("queues", key=desk.observer)
    [line] = [line for line in shown.out.splitlines() if line.startswith("tiny ")]
    assert line.endswith(f"by {desk.operator.id}: new weights (`darkroom queues resume tiny` resumes it)")
    assert "RabbitMQ  does not answer" in shown.out
    assert (await desk("queues", "resume", "tiny")).out.startswith("tiny is resumed")
    assert (await desk("queues", "resume", "tiny")).out == "tiny was not paused.\n"
    acts = (await desk("audit", "--subject", "tiny", "--json")).json
    assert [act["action"] for act in acts] == ["model.resume", "model.pause"]


async def test_an_unknown_model_is_refused(desk: Desk) -> None:
    """To look at, to pause and to resume; a name that is a path reaches nothing else."""
    for arguments in (("large",), ("pause", "large", "--reason", "x"), ("resume", "../keys")):
        refused = await desk("queues", *arguments)
        assert (refused.exit_code, "`darkroom queues` shows all." in refused.err) == (1, True), refused


async def test_an_observer_pauses_nothing(desk: Desk) -> None:
    """Nor resumes."""
    for arguments in (("pause", "tiny", "--reason", "x"), ("resume", "tiny")):
        refused = await desk("queues", *arguments, key=desk.observer)
        assert (refused.exit_code, "needs operator" in refused.err) == (1, True)
