import json
from dataclasses import dataclass

import pytest

from darkroom_contracts.api.queues import BrokerQueue, Outbox, Pause, PauseReply, ResumeReply
from tests.unit.client.answers import Script, problem, reply
from tests.unit.client.desk_answers import AT, HOSTILE, PAUSE, queue, queues
from tests.unit.client.desk_commands.runner import Desk

UNKNOWN = problem(404, "not_found", "There is no model 'large'; the list of queues shows all.")


def paused(hour: int, day: int) -> PauseReply:
    return PauseReply(
        model="tiny", paused=PAUSE, expiring_within_hour=hour, expiring_within_day=day, count_limit=100_000
    )


def test_each_model_has_a_line(desk: Desk) -> None:
    """With its jobs, its workers and RabbitMQ's depth; a bound that was reached is marked."""
    found = queues(queue("shapes", queued=100_000), queue(queued=0, oldest_queued_at=None, in_flight=0))
    lines = desk.run(Script(reply(found)), "queues").stdout.splitlines()
    assert lines[0].split() == ["model", "queued", "oldest", "running", "workers", "ready"]
    assert lines[1].startswith("shapes  100,000 or more  2026-11-21 11:55:00Z  1 ")
    assert lines[2].split() == ["tiny", "0", "-", "0", "2", "1,199"]


def test_the_other_queues_are_summed_up(desk: Desk) -> None:
    """Retries, what waits to be recorded or published, and the age of the sample."""
    shown = fields(desk.run(Script(reply(queues(queue()))), "queues").stdout)
    assert shown["retries"] == "2 in the lanes"
    assert shown["dead letters"].startswith("0 wait to be recorded")
    assert shown["outbox"] == "3 to publish, the most overdue for 0.4 s"
    assert shown["sampled"].endswith(" ago")
    empty = queues(queue(), outbox=Outbox(0, 0.0))
    assert fields(desk.run(Script(reply(empty)), "queues").stdout)["outbox"] == "0 to publish"


def test_a_rabbitmq_that_is_away_is_named(desk: Desk) -> None:
    """Its counts are unknown, and not 0."""
    away = BrokerQueue("darkroom.render.tiny.v1")
    found = queues(queue(broker=away), dead_letter_queue=BrokerQueue("darkroom.dead.v1"))
    lines = desk.run(Script(reply(found)), "queues").stdout.splitlines()
    assert lines[1].split()[-1] == "-"
    assert "RabbitMQ  does not answer; its counts are missing" in lines


def test_held_messages_are_shown_where_they_are_known(desk: Desk) -> None:
    """With the management API; messages that don't reach the dead-letter queue are pointed out."""
    broker = BrokerQueue("darkroom.render.tiny.v1", ready=7, unacknowledged=2, dead_lettering=3)
    lines = desk.run(Script(reply(queues(queue(broker=broker)))), "queues").stdout.splitlines()
    assert lines[0].split()[-2:] == ["ready", "unacked"]
    assert lines[1].split()[-2:] == ["7", "2"]
    assert lines[2] == "  3 messages are on their way to the dead-letter queue"


@dataclass(frozen=True)
class Standing:
    pause: Pause | None
    workers: int
    said: str


@pytest.mark.parametrize(
    "standing",
    [
        Standing(PAUSE, 2, "by oP3rat0r0001: new weights (`darkroom queues resume tiny` resumes it)"),
        Standing(None, 0, "no worker: jobs wait until one is started"),
        Standing(None, 2, "1,199"),
    ],
)
def test_a_queue_says_why_its_jobs_wait(desk: Desk, standing: Standing) -> None:
    """Paused, with the key and the reason, or without a worker; otherwise nothing is said."""
    found = queues(queue(paused=standing.pause, workers=standing.workers))
    line = desk.run(Script(reply(found)), "queues").stdout.splitlines()[1]
    assert line.endswith(standing.said)


def test_one_queue_is_shown_in_full(desk: Desk) -> None:
    """With the name of its queue in RabbitMQ."""
    script = Script(reply(queues(queue())))
    shown = fields(desk.run(script, "queues", "tiny").stdout)
    assert (shown["queued"], shown["state"]) == ("1,200", "open")
    assert shown["RabbitMQ"] == "darkroom.render.tiny.v1: 1,199 ready"
    assert dict(script.requests[0].url.params) == {"model": "tiny"}


def test_an_unknown_model_names_the_list(desk: Desk) -> None:
    """Also for programs, and for the commands."""
    for options in ((), ("--json",)):
        result = desk.run(Script(reply(queues())), "queues", "large", *options)
        assert (result.exit_code, result.stderr) == (
            1,
            "Error: There is no model 'large'; `darkroom queues` shows all.\n",
        )
    for command in (("pause", "large", "--reason", "x"), ("resume", "large")):
        result = desk.run(Script(UNKNOWN), "queues", *command)
        assert (result.exit_code, "`darkroom queues` shows all." in result.stderr) == (1, True)


def test_a_catalogue_without_models_says_where_to_look(desk: Desk) -> None:
    """The list is never just empty."""
    assert "DARKROOM_MODELS_FILE" in desk.run(Script(reply(queues())), "queues").stdout


@pytest.mark.parametrize(
    ("hour", "day", "said"),
    [
        (12, 1400, "12 will expire if the pause lasts an hour, and 1,400 if it lasts a day."),
        (0, 100_000, "0 will expire if the pause lasts an hour, and 100,000 or more if it lasts a day."),
        (0, 0, "None of the jobs that wait now expires within a day."),
    ],
)
def test_a_pause_says_how_many_jobs_it_costs(desk: Desk, hour: int, day: int, said: str) -> None:
    """Within an hour and a day, and how to end it."""
    script = Script(reply(paused(hour, day)))
    shown = desk.run(script, "queues", "pause", "tiny", "--reason", "new weights").stdout
    first, second, third = shown.splitlines()
    assert first.startswith("tiny is paused: ")
    assert second.endswith(said)
    assert third == "`darkroom queues resume tiny` resumes it."
    assert json.loads(script.requests[0].content) == {"reason": "new weights"}


def test_a_pause_needs_a_reason(desk: Desk) -> None:
    """Nothing is sent without one."""
    script = Script()
    assert desk.run(script, "queues", "pause", "tiny").exit_code == 2
    assert script.requests == []


@pytest.mark.parametrize(("resumed", "said"), [(True, "tiny is resumed; "), (False, "tiny was not paused.")])
def test_a_resumption_says_whether_there_was_a_pause(desk: Desk, resumed: bool, said: str) -> None:
    """Both succeed."""
    result = desk.run(Script(reply(ResumeReply("tiny", resumed))), "queues", "resume", "tiny")
    assert (result.exit_code, result.stdout.startswith(said)) == (0, True)


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ((), queues(queue())),
        (("tiny",), queues(queue())),
        (("pause", "tiny", "--reason", "x"), paused(1, 2)),
        (("resume", "tiny"), ResumeReply("tiny", True)),
    ],
)
def test_programs_get_json_alone(desk: Desk, command: tuple[str, ...], answer: object) -> None:
    """As the API returns it."""
    result = desk.run(Script(reply(answer)), "queues", *command, "--json")
    assert json.loads(result.stdout)
    assert result.stderr == ""


def test_nothing_from_outside_reaches_the_terminal_raw(desk: Desk) -> None:
    """The reason of a pause was written by somebody else."""
    found = queues(queue(paused=Pause(AT, HOSTILE, HOSTILE)))
    for arguments in (("queues",), ("queues", "tiny")):
        shown = desk.run(Script(reply(found)), *arguments).stdout
        assert not set(shown) & {"\x1b", "\u202e", "\x07"}


def fields(shown: str) -> dict[str, str]:
    """Return the lines of two columns, by their names."""
    pairs = (line.partition("  ") for line in shown.splitlines())
    return {name: value.strip() for name, _, value in pairs}
