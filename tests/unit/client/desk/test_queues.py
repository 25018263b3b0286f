import json

from darkroom_contracts.api.queues import PauseReply, ResumeReply
from tests.unit.client.answers import Script, reply
from tests.unit.client.desk_answers import PAUSE, queue, queues


def test_the_queues_are_listed_all_or_one() -> None:
    """Without a model the query is empty."""
    found = queues(queue())
    script = Script(reply(found), reply(found))
    assert script.client().queues.list() == found
    script.client().queues.list("tiny")
    assert [dict(request.url.params) for request in script.requests] == [{}, {"model": "tiny"}]


def test_a_model_is_paused_with_a_reason_and_resumed() -> None:
    """Both use the model's path."""
    paused = PauseReply(model="tiny", paused=PAUSE, expiring_within_hour=2, expiring_within_day=5, count_limit=100)
    script = Script(reply(paused), reply(ResumeReply("tiny", True)))
    desk = script.client().queues
    assert desk.pause("tiny", "new weights") == paused
    assert desk.resume("tiny").resumed
    sent = [(request.method, request.url.path) for request in script.requests]
    assert sent == [("POST", "/v1/operations/queues/tiny/pause"), ("POST", "/v1/operations/queues/tiny/resume")]
    assert json.loads(script.requests[0].content) == {"reason": "new weights"}
