"""`darkroom dead-letters show`."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from darkroom.desk_commands.detail_views import print_letter
from darkroom_contracts.api import JobError
from darkroom_contracts.api.dead_letters import Act, DeadLetterDetail, DeliveryState, FailedAttempt, FailedDelivery
from darkroom_contracts.states import (
    AttemptOutcome,
    DeliveryOutcome,
    DeliveryStatus,
    EndpointStatus,
    JobStatus,
    LetterKind,
    LetterStatus,
)
from tests.support.hostile import HOSTILE, assert_safe
from tests.unit.client.answers import JOB_ID, Script, problem, reply
from tests.unit.client.desk_commands.runner import Desk
from tests.unit.client.letter_answers import AT, GROUP_ID, LETTER_ID, MESSAGE, detail

DELIVERY_ID, ENDPOINT_ID = GROUP_ID, LETTER_ID


def attempt(**changes: Any) -> FailedAttempt:
    values: dict[str, Any] = {
        "generation": 1,
        "attempt": 2,
        "started_at": AT,
        "ended_at": AT + timedelta(seconds=4.25),
        "outcome": AttemptOutcome.FAILED,
        "refunded": False,
        "error": JobError("out_of_memory", MESSAGE, retryable=False, stage="render"),
        "worker": "gpu-1",
        "device": "cuda:0",
        "gpu_id": "GPU-7",
        "model_revision": "abc",
        "versions": {"torch": "2.13.0", "diffusers": "0.42.0"},
    }
    return FailedAttempt(**values | changes)


def delivered(**changes: Any) -> FailedDelivery:
    values: dict[str, Any] = {
        "number": 1,
        "started_at": AT,
        "ended_at": AT,
        "outcome": DeliveryOutcome.FAILED,
        "status_code": 500,
        "total_ms": 31.0,
        "error": "The receiver answered 500.",
    }
    return FailedDelivery(**values | changes)


def webhook(attempts_made: int = 1, *attempts: FailedDelivery, **changes: Any) -> DeadLetterDetail:
    values: dict[str, Any] = {
        "status": DeliveryStatus.FAILED,
        "event": "job.succeeded",
        "endpoint_id": ENDPOINT_ID,
        "endpoint_status": EndpointStatus.ENABLED,
        "endpoint_deleted": False,
        "attempts_made": attempts_made,
        "attempts": list(attempts or (delivered(),)),
    }
    state = DeliveryState(**values | changes)
    return detail(kind=LetterKind.WEBHOOK, delivery_id=DELIVERY_ID, delivery=state, model=None, worker=None)


def shown(desk: Desk, letter: DeadLetterDetail) -> str:
    result = desk.run(Script(reply(letter)), "dead-letters", "show", LETTER_ID)
    assert result.exit_code == 0
    return result.stdout


@pytest.mark.parametrize(
    ("returns", "sentence"),
    [
        (0, ", on gpu-1."),
        (1, ", second time, on gpu-1."),
        (2, ", third time, on gpu-1."),
        (9, ", 10 times now, on gpu-1."),
    ],
)
def test_it_begins_with_a_sentence(desk: Desk, returns: int, sentence: str) -> None:
    """What failed, the how many times if it did before, and where."""
    assert shown(desk, detail(returns=returns)).splitlines()[0] == f"{MESSAGE}{sentence}"


def test_every_attempt_is_shown_with_its_place(desk: Desk) -> None:
    """When, for how long, how it ended and why; the device, the revision and the versions."""
    letter = detail(attempts=[attempt(attempt=1, refunded=True), attempt(ended_at=None, outcome=None, error=None)])
    text = shown(desk, letter)
    first, place, second, _ = text.splitlines()[-4:]
    assert first.split("  ")[0] == "1"
    assert "failed, refunded" in first
    assert first.endswith(f"4.2 s  {MESSAGE} (out_of_memory)")
    assert place == "  cuda:0 GPU-7; revision abc; torch 2.13.0, diffusers 0.42.0"
    assert "running" in second


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"job_status": None}, "(generation 1; not in this database)"),
        (
            {"job_status": JobStatus.RUNNING, "job_generation": 2},
            "(failed in generation 1; now running in generation 2)",
        ),
        (
            {"job_status": JobStatus.FAILED, "job_generation": 1, "job_deleted": True},
            "(failed in generation 1; deleted by its tenant)",
        ),
    ],
)
def test_the_job_s_state_is_shown(desk: Desk, changes: dict[str, Any], state: str) -> None:
    """It decides on a replay."""
    assert f"{JOB_ID} {state}" in shown(desk, detail(**changes))


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"endpoint_status": None}, "removed"),
        ({"endpoint_deleted": True}, "deleted"),
        ({"endpoint_status": EndpointStatus.DISABLED}, "disabled"),
    ],
)
def test_the_endpoint_s_state_is_shown(desk: Desk, changes: dict[str, Any], state: str) -> None:
    """It decides on a replay."""
    assert f"{ENDPOINT_ID} ({state})" in shown(desk, webhook(**changes))


def test_a_webhook_s_attempts_are_shown(desk: Desk) -> None:
    """Time, status, duration and error; of a message nothing."""
    text = shown(desk, webhook(2, delivered(), delivered(number=2, outcome=None, status_code=None, total_ms=None)))
    first, second = (line for line in text.splitlines() if line.startswith(("1 ", "2 ")))
    assert first.endswith("31.0 ms  The receiver answered 500.")
    assert "in flight" in second
    assert not [line for line in text.splitlines() if line.startswith(("model", "message"))]


def test_attempts_that_are_left_out_are_counted(desk: Desk) -> None:
    """A delivery that was sent again and again shows its latest attempts."""
    assert "201; the latest 1 are below" in shown(desk, webhook(201))


def test_a_letter_without_its_delivery_is_shown(desk: Desk) -> None:
    """Retention removed the delivery; the letter has its id and its reason."""
    letter = detail("The receiver answered 500.", kind=LetterKind.WEBHOOK, delivery_id=DELIVERY_ID)
    assert f"{DELIVERY_ID} (removed because of its age)" in shown(desk, letter)


def test_what_was_done_with_it_is_shown(desk: Desk) -> None:
    """Who, when and why."""
    act = Act(at=AT, actor="key-1", action="dead_letter.discard", reason="a typo")
    last = shown(desk, detail(acts=[act], status=LetterStatus.DISCARDED, resolved_at=AT)).splitlines()[-1]
    assert last == "dead_letter.discard  key-1  2026-11-21 12:00:00Z  a typo"


@pytest.mark.parametrize(
    ("changes", "commands"),
    [
        ({}, ["reveal", "replay", "discard"]),
        ({"status": LetterStatus.DISCARDED}, ["reveal", "restore"]),
        ({"status": LetterStatus.REPLAYED}, ["reveal"]),
        ({"kind": LetterKind.UNDECODABLE}, ["reveal", "discard"]),
    ],
)
def test_it_ends_with_what_can_be_done(desk: Desk, changes: dict[str, Any], commands: list[str]) -> None:
    """On stderr, so that a pipe gets the letter alone; nothing that would be refused."""
    result = desk.run(Script(reply(detail(**changes))), "dead-letters", "show", LETTER_ID)
    hints = [line.partition("darkroom dead-letters ")[2].split() for line in result.stderr.splitlines() if line]
    assert [(words[0], words[1]) for words in hints] == [(command, str(LETTER_ID)) for command in commands]
    assert "darkroom" not in result.stdout


def test_programs_get_the_letter_alone(desk: Desk) -> None:
    """As the API returns it, without hints."""
    result = desk.run(Script(reply(detail())), "dead-letters", "show", LETTER_ID, "--json")
    assert (json.loads(result.stdout)["id"], result.stderr) == (str(LETTER_ID), "")


def test_an_unknown_letter_names_the_list(desk: Desk) -> None:
    """In one sentence."""
    script = Script(problem(404, "not_found", "There is no such dead letter."))
    result = desk.run(script, "dead-letters", "show", LETTER_ID)
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: There is no such dead letter. `darkroom dead-letters list --status any` shows their ids.\n",
    )


@pytest.mark.parametrize("columns", [20, 80, 160])
def test_hostile_letters_are_shown_safely(
    at_terminal: Callable[[int], None], capsys: pytest.CaptureFixture[str], columns: int
) -> None:
    """Whatever field of theirs it is in: a message, a worker, a version, a reason."""
    at_terminal(columns)
    forged = f"{HOSTILE}\nid           00000000-0000-0000-0000-000000000000"
    bad = attempt(
        worker=forged,
        device=forged,
        gpu_id=forged,
        model_revision=forged,
        versions={forged: forged},
        error=JobError(forged, forged, retryable=False, stage=forged),
    )
    letter = detail(
        forged,
        tenant=forged,
        model=forged,
        worker=forged,
        reason=forged,
        fingerprint=forged,
        attempts=[bad],
        acts=[Act(at=AT, actor=forged, action=forged, reason=forged)],
    )
    print_letter(letter)
    print_letter(webhook(1, delivered(error=forged), event=forged))
    printed = capsys.readouterr()
    assert_safe(printed.out + printed.err)
    assert not [line for line in printed.out.splitlines() if line.startswith("id           0000")]
