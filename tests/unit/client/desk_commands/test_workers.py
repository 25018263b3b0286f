import json
from datetime import UTC, datetime, timedelta

import pytest

from darkroom_contracts.api.workers import DrainReply, WorkerJob, WorkerList, WorkerState
from tests.unit.client.answers import JOB_ID, Script, problem, reply
from tests.unit.client.desk_answers import AT, HOSTILE, worker
from tests.unit.client.desk_commands.runner import Desk


def test_each_worker_has_a_line(desk: Desk) -> None:
    """With its device, memory, job and step, last heartbeat, and how its attempts ended."""
    idle = worker("gpu-2", state=WorkerState.IDLE, jobs=(), outcomes={"released": 3}, device=None, memory_bytes=None)
    heading, busy, other = desk.run(Script(reply(WorkerList((worker(), idle)))), "workers").stdout.splitlines()
    assert heading.split("  ")[0] == "worker"
    assert busy.split()[:3] == ["gpu-1", "busy", "tiny"]
    assert busy.endswith(f"2026-11-21 11:59:58Z  340 ok, 3 failed  NVIDIA L4  5.4 GB  {JOB_ID}, step 12 of 20")
    assert other.split()[:3] == ["gpu-2", "idle", "tiny"]
    assert other.split()[-3:] == ["-", "-", "-"]


def test_who_stopped_beating_is_named_first(desk: Desk) -> None:
    """Before the table, and at its top."""
    minutes = datetime.now(UTC) - timedelta(minutes=4)
    silent = worker("gpu-9", state=WorkerState.SILENT, last_beat_at=minutes)
    lost = worker("gpu-7", state=WorkerState.LOST, started_at=None, last_beat_at=minutes - timedelta(hours=3))
    shown = desk.run(Script(reply(WorkerList((worker(), lost, silent)))), "workers").stdout.splitlines()
    assert shown[0] == "Stopped beating: gpu-7 (lost, 3 h ago), gpu-9 (silent, 4 min ago)"
    assert [line.split()[0] for line in shown[3:]] == ["gpu-7", "gpu-9", "gpu-1"]


def test_a_second_job_is_listed_too(desk: Desk) -> None:
    """One renders, the other is stored; a later attempt says so."""
    jobs = (WorkerJob(JOB_ID, 1, AT, 12, 20), WorkerJob(JOB_ID, 2, AT, None, None))
    shown = desk.run(Script(reply(WorkerList((worker(jobs=jobs),)))), "workers").stdout.splitlines()
    assert shown[1].endswith(f"{JOB_ID}, step 12 of 20")
    assert shown[2] == f"  {JOB_ID}, attempt 2"


def test_one_worker_is_shown_in_full(desk: Desk) -> None:
    """With what it runs on and how its attempts failed."""
    script = Script(reply(WorkerList((worker(),))))
    shown = desk.run(script, "workers", "gpu-1").stdout
    for part in ("busy: it renders", "GPU-0a", "torch 2.13.0, diffusers 0.42.0", "340 succeeded, 2 failed", "5.4 GB"):
        assert part in shown
    assert "3 out_of_memory" in shown
    assert dict(script.requests[0].url.params) == {"worker": "gpu-1"}


@pytest.mark.parametrize("state", list(WorkerState))
def test_every_state_is_explained(desk: Desk, state: WorkerState) -> None:
    """In the words of an operator."""
    shown = desk.run(Script(reply(WorkerList((worker(state=state),)))), "workers", "gpu-1").stdout
    assert f"{state}: it" in shown


def test_nobody_at_work_says_what_to_do(desk: Desk) -> None:
    """All of them, of a model, or one that is not there."""
    assert desk.run(Script(reply(WorkerList(()))), "workers").stdout.startswith("No worker is running. ")
    of_model = desk.run(Script(reply(WorkerList(()))), "workers", "--model", "large")
    assert of_model.stdout == "No worker of the model 'large' is running; `darkroom workers` shows all.\n"
    named = desk.run(Script(reply(WorkerList(()))), "workers", "gpu-5", "--model", "tiny")
    assert (named.exit_code, named.stderr) == (
        1,
        "Error: No worker of the model 'tiny' called 'gpu-5' is running; `darkroom workers` shows all.\n",
    )


def test_a_drain_says_what_happens_and_how_to_end_it(desk: Desk) -> None:
    """A second one says since when."""
    script = Script(reply(DrainReply("gpu-1", AT, True)))
    shown = desk.run(script, "workers", "drain", "gpu-1", "--reason", "a loud fan").stdout
    assert shown.startswith("gpu-1 finishes its jobs and takes no other; ")
    assert "`darkroom workers resume gpu-1`" in shown
    assert json.loads(script.requests[0].content) == {"reason": "a loud fan"}
    again = desk.run(Script(reply(DrainReply("gpu-1", AT, False))), "workers", "drain", "gpu-1", "--reason", "x")
    assert ", as it was asked to at 2026-11-21 12:00:00Z;" in again.stdout


@pytest.mark.parametrize(("changed", "said"), [(True, "gpu-1 takes jobs again"), (False, "gpu-1 was not drained.")])
def test_a_resumption_says_whether_it_was_drained(desk: Desk, changed: bool, said: str) -> None:
    """Both succeed."""
    result = desk.run(Script(reply(DrainReply("gpu-1", None, changed))), "workers", "resume", "gpu-1")
    assert (result.exit_code, result.stdout.startswith(said)) == (0, True)


@pytest.mark.parametrize("command", [("drain", "gpu-5", "--reason", "x"), ("resume", "gpu-5")])
def test_an_unknown_worker_names_the_list(desk: Desk, command: tuple[str, ...]) -> None:
    """The API's words stay."""
    refusal = problem(404, "not_found", "No worker called 'gpu-5' is running; the list of workers shows all.")
    result = desk.run(Script(refusal), "workers", *command)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: No worker called 'gpu-5'")
    assert "`darkroom workers` shows all." in result.stderr


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ((), WorkerList((worker(),))),
        (("drain", "gpu-1", "--reason", "x"), DrainReply("gpu-1", AT, True)),
        (("resume", "gpu-1"), DrainReply("gpu-1", None, True)),
    ],
)
def test_programs_get_json_alone(desk: Desk, command: tuple[str, ...], answer: object) -> None:
    """As the API returns it; workers as a list."""
    result = desk.run(Script(reply(answer)), "workers", *command, "--json")
    assert json.loads(result.stdout)
    assert result.stderr == ""


def test_nothing_from_outside_reaches_the_terminal_raw(desk: Desk) -> None:
    """Names and versions are written by workers."""
    hostile = worker(HOSTILE, device=HOSTILE, versions={HOSTILE: HOSTILE}, errors={HOSTILE: 1}, state=WorkerState.LOST)
    for arguments in (("workers",), ("workers", "gpu-1")):
        shown = desk.run(Script(reply(WorkerList((hostile,)))), *arguments).stdout
        assert not set(shown) & {"\x1b", "\u202e", "\x07"}
