import json
from itertools import islice

import httpx2
import pytest

from darkroom import ApiError, UnreachableError
from darkroom.desk.replays import POLL_SECONDS, is_outcome_unknown
from darkroom_contracts.api.dead_letters import LetterScope
from darkroom_contracts.api.replays import (
    BulkReplay,
    BulkReplayList,
    InputEdit,
    ItemState,
    Ramp,
    ReplayEdit,
    ReplayReply,
    ReplayStatus,
)
from tests.unit.client.answers import JOB_ID, Script, problem, reply
from tests.unit.client.letter_answers import LETTER_ID
from tests.unit.client.replay_answers import PATH, REPLAY_ID, finished, item, items, replay

EDIT = ReplayEdit(model="tiny", input=InputEdit(num_inference_steps=12))
LOST = httpx2.ReadError("connection reset")
AWAY = problem(503, "unavailable", "Operations can't be reached.")


def sent(script: Script) -> list[tuple[str, str]]:
    return [(request.method, request.url.path) for request in script.requests]


def body(script: Script, number: int = 0) -> object:
    return json.loads(script.requests[number].content)


def test_one_letter_is_replayed_with_an_edit() -> None:
    """Only the changed fields are sent."""
    replayed = ReplayReply(dead_letter_id=LETTER_ID, job_id=JOB_ID, generation=2)
    script = Script(reply(replayed, 202))
    assert script.client().replays.replay_letter(LETTER_ID, edit=EDIT, reason="fixed") == replayed
    assert sent(script) == [("POST", f"/v1/operations/dead-letters/{LETTER_ID}/replay")]
    assert body(script) == {"edit": {"model": "tiny", "input": {"num_inference_steps": 12}}, "reason": "fixed"}


def test_a_replay_is_planned_with_its_speed() -> None:
    """Scope, edit, pace or ramp, and reason are sent; nothing is started."""
    script = Script(reply(replay("planning"), 202), reply(replay("planning"), 202))
    replays = script.client().replays
    assert replays.plan(LetterScope(model="tiny"), edit=EDIT, pace=5, reason="fixed").id == REPLAY_ID
    replays.plan(LetterScope(model="tiny"), ramp=Ramp(stages=(1, 2)))
    assert sent(script) == [("POST", "/v1/operations/replays")] * 2
    first, second = (json.loads(request.content) for request in script.requests)
    assert (first["scope"]["model"], first["pace"], first["ramp"], first["reason"]) == ("tiny", 5, None, "fixed")
    assert second["ramp"] == {"stages": [1, 2], "stage_seconds": 900}


@pytest.mark.parametrize("lost", [LOST, AWAY])
def test_what_would_be_done_twice_is_not_repeated(lost: httpx2.Response | BaseException) -> None:
    """A lost response to a plan, or to the replay of one letter, is the caller's to look into."""
    script = Script(lost, lost)
    replays = script.client().replays
    for send in (lambda: replays.plan(LetterScope(model="tiny")), lambda: replays.replay_letter(LETTER_ID)):
        with pytest.raises((UnreachableError, ApiError)) as raised:
            send()
        assert is_outcome_unknown(raised.value)
    assert len(script.requests) == 2


def test_a_start_carries_its_count() -> None:
    """It is sent once."""
    script = Script(reply(replay("running")))
    assert script.client().replays.start(REPLAY_ID, 42).status is ReplayStatus.RUNNING
    assert (sent(script), body(script)) == ([("POST", f"{PATH}/start")], {"count": 42})


@pytest.mark.parametrize("lost", [LOST, AWAY, httpx2.Response(502, content=b"Bad Gateway")])
def test_a_lost_start_is_looked_up(lost: httpx2.Response | BaseException) -> None:
    """A replay that the lost request started is returned, and not started again."""
    script = Script(lost, reply(replay("running", pending=40, replayed=2)))
    assert script.client().replays.start(REPLAY_ID, 42).items.replayed == 2
    assert sent(script) == [("POST", f"{PATH}/start"), ("GET", PATH)]


def test_a_start_that_had_no_effect_is_sent_again() -> None:
    """After a look that finds the replay still planned, and a pause."""
    script = Script(LOST, reply(replay("planned")), reply(replay("running")))
    assert script.client().replays.start(REPLAY_ID, 42).status is ReplayStatus.RUNNING
    assert sent(script) == [("POST", f"{PATH}/start"), ("GET", PATH), ("POST", f"{PATH}/start")]
    assert script.pauses == [POLL_SECONDS]


def test_a_start_that_took_effect_late_is_not_reported_as_refused() -> None:
    """The second request is refused because the first one was carried out after all."""
    refused = problem(409, "conflict", "The replay is running, so it can't be started.")
    script = Script(LOST, reply(replay("planned")), refused, reply(replay("running")))
    assert script.client().replays.start(REPLAY_ID, 42).status is ReplayStatus.RUNNING


def test_a_start_is_given_up_after_three_requests() -> None:
    """The last error is raised."""
    answers: list[httpx2.Response | BaseException] = [LOST, reply(replay("planned"))]
    script = Script(*answers * 3)
    with pytest.raises(UnreachableError):
        script.client().replays.start(REPLAY_ID, 42)
    assert len(script.requests) == 6


def test_a_lost_start_of_a_canceled_replay_is_refused() -> None:
    """Another operator canceled it first."""
    script = Script(LOST, reply(replay("canceled", started_at=None)))
    with pytest.raises(UnreachableError):
        script.client().replays.start(REPLAY_ID, 42)


def test_a_refused_start_is_raised_at_once() -> None:
    """Another count, or a replay that another operator started, is not looked up."""
    for code in ("count_differs", "conflict"):
        script = Script(problem(409, code, "The replay is of 41 dead letters. Confirm that number."))
        with pytest.raises(ApiError) as raised:
            script.client().replays.start(REPLAY_ID, 42)
        assert (raised.value.problem.code, len(script.requests)) == (code, 1)


def test_a_replay_is_steered() -> None:
    """Each act names its reason, and is repeated after a lost response: it leaves a replay that it reached as it is."""
    for act in ("pause", "resume", "cancel"):
        script = Script(LOST, reply(replay("paused")))
        assert getattr(script.client().replays, act)(REPLAY_ID, "lunch").id == REPLAY_ID
        assert sent(script) == [("POST", f"{PATH}/{act}")] * 2
        assert body(script) == {"reason": "lunch"}


def test_lists_follow_their_pages() -> None:
    """Replays by their cursor, and dead letters by their position; the filters stay the same."""
    script = Script(reply(BulkReplayList([replay()], "more")), reply(BulkReplayList([replay()])))
    assert len(list(script.client().replays.list(ReplayStatus.PLANNED))) == 2
    queries = [dict(request.url.params) for request in script.requests]
    assert queries == [{"status": "planned", "limit": "200"}, {"status": "planned", "limit": "200", "cursor": "more"}]
    script = Script(reply(items(item(), next_after=7)), reply(items(item(position=8))))
    found = script.client().replays.items(REPLAY_ID, ItemState.FAILED, page_size=1)
    assert [each.position for each in found] == [1, 8]
    assert [request.url.params["after"] for request in script.requests] == ["0", "7"]
    assert {request.url.params["state"] for request in script.requests} == {"failed"}


def test_pages_are_requested_as_they_are_needed() -> None:
    """The first dead letter needs the first page alone."""
    script = Script(reply(items(item(), item(), next_after=2)))
    assert len(list(islice(script.client().replays.items(REPLAY_ID), 1))) == 1


def test_waiting_ends_with_the_replay() -> None:
    """It looks twice a second, through lost connections, until the replay is finished, paused or canceled."""
    for end in (finished(), replay("paused"), replay("canceled")):
        looks: list[BulkReplay] = []
        script = Script(reply(replay("planned")), LOST, reply(replay("running")), reply(end))
        assert script.client().replays.wait(REPLAY_ID, on_look=looks.append) == end
        assert [look.status for look in looks] == ["planned", "running", end.status]
        assert script.pauses == [POLL_SECONDS, 0.5, POLL_SECONDS]
