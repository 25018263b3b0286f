"""Replays over HTTP."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import asyncpg
import httpx2
import pytest

from darkroom_contracts.api import Scope
from darkroom_local.ports import LOOPBACK
from tests.integration.operations.bulk.floor import Floor
from tests.integration.operations.http_api import open_api
from tests.support.declared import Api
from tests.support.models import REPOSITORY

LETTERS, REPLAYS = "/v1/operations/dead-letters", "/v1/operations/replays"


@pytest.fixture
async def api(database: str, rows: asyncpg.Connection) -> AsyncIterator[Api]:
    """Open the service with the repository's catalogue."""
    catalogue = str(REPOSITORY / "deploy" / "models.toml")
    async with open_api(
        database, rows, DARKROOM_MODELS_FILE=catalogue, DARKROOM_WEBHOOK_ALLOWED_HOSTS=LOOPBACK
    ) as opened:
        yield opened


def code(response: httpx2.Response) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


async def test_a_letter_is_replayed_with_an_edit(floor: Floor, operator: httpx2.AsyncClient) -> None:
    """An edited replay answers with the new generation; the audit log names key, reason and edit."""
    [job_id] = await floor.dead(1)
    letter = (await floor.jobs.letter(job_id))["id"]
    wanted = {"edit": {"input": {"num_inference_steps": 2}}, "reason": "out of memory"}
    replayed = await operator.post(f"{LETTERS}/{letter}/replay", json=wanted)
    assert replayed.status_code == 202
    assert replayed.json() | {"delivery_id": None} == {
        "dead_letter_id": str(letter),
        "job_id": str(job_id),
        "generation": 2,
        "delivery_id": None,
        "endpoint_paused": False,
    }
    key_id = operator.headers["Authorization"].split("_")[2]
    [entry] = await floor.jobs.fetch("SELECT actor, reason FROM audit_log")
    assert tuple(entry) == (key_id, "out of memory")
    assert code(await operator.post(f"{LETTERS}/{letter}/replay", json={})) == (409, "conflict")


@pytest.mark.parametrize(
    "edit",
    [
        {"input": {"prompt": "another"}},
        {"input": {"num_inference_steps": 0}},
        {"input": {"num_inference_steps": 501}},
        {"model": "absent"},
        {"metadata": {}},
    ],
)
async def test_a_wrong_edit_is_refused(floor: Floor, operator: httpx2.AsyncClient, edit: dict[str, Any]) -> None:
    """Edits of prompts, of unknown fields and beyond the model's bounds are 422, and change nothing."""
    [job_id] = await floor.dead(1)
    letter = (await floor.jobs.letter(job_id))["id"]
    refused = await operator.post(f"{LETTERS}/{letter}/replay", json={"edit": edit})
    assert code(refused) == (422, "invalid_request")
    assert await floor.generations() == [1]


async def test_an_unknown_letter_is_404(operator: httpx2.AsyncClient) -> None:
    """The replay of an unknown letter, and an unknown bulk replay, are 404."""
    assert code(await operator.post(f"{LETTERS}/{uuid4()}/replay", json={})) == (404, "not_found")
    assert code(await operator.get(f"{REPLAYS}/{uuid4()}")) == (404, "not_found")
    assert code(await operator.get(f"{REPLAYS}/{uuid4()}/items")) == (404, "not_found")
    assert code(await operator.post(f"{REPLAYS}/{uuid4()}/pause", json={})) == (404, "not_found")


async def test_a_bulk_replay_is_planned_started_and_steered(floor: Floor, operator: httpx2.AsyncClient) -> None:
    """A plan is made in the background and started with its count; a pause, a resumption and a cancel act at once."""
    await floor.dead(3)
    asked = await operator.post(REPLAYS, json={"scope": {"model": "tiny"}, "pace": 5, "reason": "fixed"})
    assert (asked.status_code, asked.json()["status"]) == (202, "planning")
    path = asked.headers["Location"]
    await floor.planning.run_once()
    planned = (await operator.get(path)).json()
    assert (planned["status"], planned["items"]["pending"], planned["scope"]["model"]) == ("planned", 3, "tiny")
    assert code(await operator.post(f"{path}/start", json={"count": 2})) == (409, "count_differs")
    assert (await operator.post(f"{path}/start", json={"count": 3})).json()["status"] == "running"
    await floor.running.run_once()
    assert (await operator.post(f"{path}/pause", json={"reason": "lunch"})).json()["paused_reason"] == "lunch"
    assert (await operator.post(f"{path}/resume", json={})).json()["status"] == "running"
    assert (await operator.post(f"{path}/cancel", json={})).json()["items"]["replayed"] == 1
    assert code(await operator.post(f"{path}/start", json={"count": 2})) == (409, "conflict")
    items = (await operator.get(f"{path}/items", params={"state": "pending", "limit": 1})).json()
    assert ([item["position"] for item in items["items"]], items["next_after"]) == ([2], 2)


async def test_replays_are_listed_newest_first(floor: Floor, operator: httpx2.AsyncClient) -> None:
    """The list goes from page to page by its cursor, and filters by status."""
    made = [str(await floor.asked()) for _ in range(3)]
    first = (await operator.get(REPLAYS, params={"limit": 2})).json()
    rest = (await operator.get(REPLAYS, params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [each["id"] for each in (*first["replays"], *rest["replays"])] == made[::-1]
    assert (await operator.get(REPLAYS, params={"status": "running"})).json()["replays"] == []
    assert code(await operator.get(REPLAYS, params={"cursor": "x"})) == (422, "invalid_request")


async def test_observers_look_and_do_not_act(floor: Floor, observer: httpx2.AsyncClient) -> None:
    """An observer's key reads replays and can't plan, start or replay any."""
    replay_id = await floor.asked()
    assert (await observer.get(f"{REPLAYS}/{replay_id}")).status_code == 200
    refused = [
        await observer.post(REPLAYS, json={"scope": {"model": "tiny"}}),
        await observer.post(f"{REPLAYS}/{replay_id}/start", json={"count": 0}),
        await observer.post(f"{LETTERS}/{uuid4()}/replay", json={}),
    ]
    assert [code(each) for each in refused] == [(403, "forbidden")] * 3


async def test_concurrent_replays_of_one_letter_run_once(floor: Floor, api: Api) -> None:
    """Of 1,000 replays that two operators send, 50 at a time, one makes a generation and 999 are explained."""
    [job_id] = await floor.dead(1)
    letter = (await floor.jobs.letter(job_id))["id"]
    turns = asyncio.Semaphore(50)

    async def replay(operator: httpx2.AsyncClient) -> httpx2.Response:
        async with turns:
            return await operator.post(f"{LETTERS}/{letter}/replay", json={})

    async with api.client("operators", Scope.OPERATOR) as one, api.client("other", Scope.OPERATOR) as two:
        responses = await asyncio.gather(*(replay(client) for _ in range(500) for client in (one, two)))
    refusals = [response.json()["detail"] for response in responses if response.status_code == 409]
    assert [response.status_code for response in responses].count(202) == 1
    assert len(refusals) == 999
    assert {f"replayed already: job {job_id} is queued in generation 2" in each for each in refusals} == {True}
    assert await floor.generations() == [2]
    assert await floor.jobs.value("SELECT count(*) FROM outbox") == 1
