"""Queues and workers over HTTP."""

import httpx2
import pytest

from tests.integration.operations.jobs import Jobs
from tests.support.declared import refusal

QUEUES, WORKERS = "/v1/operations/queues", "/v1/operations/workers"
REASON = {"reason": "new weights"}
ODD_NAMES = ["nothing", "%00", "%ED%A0%80", "..", "a%20b", "x" * 5000]


async def test_a_model_is_paused_and_resumed(
    operator: httpx2.AsyncClient, observer: httpx2.AsyncClient, jobs: Jobs
) -> None:
    """An observer sees the pause with who made it; the audit log has both acts."""
    await jobs.queued(model="'shapes'")
    paused = await operator.post(f"{QUEUES}/shapes/pause", json=REASON)
    assert (paused.status_code, paused.json()["expiring_within_day"]) == (200, 1)
    listed = (await observer.get(QUEUES, params={"model": "shapes"})).json()
    entries = (await observer.get("/v1/operations/audit", params={"subject": "shapes"})).json()["entries"]
    (queue,) = listed["queues"]
    assert (queue["queued"], queue["paused"]) == (1, paused.json()["paused"])
    assert queue["broker"]["ready"] is None
    assert [(entry["action"], entry["reason"]) for entry in entries] == [("model.pause", "new weights")]
    assert queue["paused"]["by"] == entries[0]["actor"]
    assert (await operator.post(f"{QUEUES}/shapes/resume")).json() == {"model": "shapes", "resumed": True}


async def test_a_worker_is_drained_and_resumed(operator: httpx2.AsyncClient, jobs: Jobs) -> None:
    """The list shows its state, and a repeated request changes nothing."""
    await jobs.session()
    replies = [(await operator.post(f"{WORKERS}/ansel/drain", json=REASON)).json() for _ in range(2)]
    assert [reply["changed"] for reply in replies] == [True, False]
    (worker,) = (await operator.get(WORKERS, params={"worker": "ansel"})).json()["workers"]
    assert (worker["state"], worker["drain_requested_at"]) == ("drained", replies[0]["drain_requested_at"])
    resumed = (await operator.post(f"{WORKERS}/ansel/resume")).json()
    assert resumed == {"worker": "ansel", "drain_requested_at": None, "changed": True}


@pytest.mark.parametrize("name", ODD_NAMES)
async def test_what_does_not_exist_is_not_found(operator: httpx2.AsyncClient, name: str) -> None:
    """Neither a model nor a worker can have such a name, and nothing is written."""
    for path in (f"{QUEUES}/{name}", f"{WORKERS}/{name}"):
        for act, body in (("pause" if path.startswith(QUEUES) else "drain", REASON), ("resume", None)):
            response = await operator.post(f"{path}/{act}", json=body)
            assert refusal(response)[:2] == (404, "not_found")


@pytest.mark.parametrize(
    ("body", "field"),
    [({}, "reason"), ({"reason": ""}, "reason"), ({"reason": "a\x00b"}, "reason"), (REASON | {"until": 1}, "until")],
)
async def test_a_reason_is_required(operator: httpx2.AsyncClient, jobs: Jobs, body: dict[str, str], field: str) -> None:
    """A wrong body names its field, and changes nothing."""
    await jobs.session()
    for path in (f"{QUEUES}/shapes/pause", f"{WORKERS}/ansel/drain"):
        assert refusal(await operator.post(path, json=body)) == (422, "invalid_request", field)
    assert await jobs.value("SELECT count(*) FROM audit_log") == 0


@pytest.mark.parametrize("path", [QUEUES, WORKERS])
async def test_filters_are_checked(operator: httpx2.AsyncClient, path: str) -> None:
    """A parameter that does not exist, or that Postgres would refuse, is named."""
    assert refusal(await operator.get(f"{path}?colour=red")) == (422, "invalid_request", "colour")
    assert refusal(await operator.get(f"{path}?model=%00")) == (422, "invalid_request", "model")


async def test_an_observer_looks_and_does_not_act(observer: httpx2.AsyncClient, jobs: Jobs) -> None:
    """What it must not do is refused before anything is read."""
    assert (await observer.get(QUEUES)).status_code == (await observer.get(WORKERS)).status_code == 200
    for path in (f"{QUEUES}/shapes/pause", f"{WORKERS}/ansel/drain", f"{WORKERS}/ansel/resume"):
        assert refusal(await observer.post(path, json=REASON))[:2] == (403, "forbidden")
