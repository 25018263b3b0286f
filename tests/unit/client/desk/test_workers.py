import json

from darkroom_contracts.api.workers import DrainReply, WorkerList
from tests.unit.client.answers import Script, reply
from tests.unit.client.desk_answers import AT, worker


def test_workers_are_listed_by_name_and_model() -> None:
    """Filters that are not given are left out."""
    script = Script(reply(WorkerList((worker(),))), reply(WorkerList(())))
    assert script.client().workers.list() == (worker(),)
    assert script.client().workers.list(worker="gpu-1", model="tiny") == ()
    assert [dict(request.url.params) for request in script.requests] == [{}, {"worker": "gpu-1", "model": "tiny"}]


def test_a_worker_is_drained_with_a_reason_and_resumed() -> None:
    """Both use the worker's path."""
    script = Script(reply(DrainReply("gpu-1", AT, True)), reply(DrainReply("gpu-1", None, True)))
    desk = script.client().workers
    assert desk.drain("gpu-1", "a loud fan").drain_requested_at == AT
    assert desk.resume("gpu-1").drain_requested_at is None
    sent = [(request.method, request.url.path) for request in script.requests]
    assert sent == [("POST", "/v1/operations/workers/gpu-1/drain"), ("POST", "/v1/operations/workers/gpu-1/resume")]
    assert json.loads(script.requests[0].content) == {"reason": "a loud fan"}
