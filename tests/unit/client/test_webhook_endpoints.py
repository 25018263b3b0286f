import json
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from darkroom import ApiError, UnreachableError
from darkroom.webhook_endpoints import Recovered
from darkroom_contracts.api.webhook_deliveries import RecoverReply
from darkroom_contracts.api.webhook_endpoints import WebhookEndpointChange, WebhookEndpointList
from darkroom_contracts.states import EndpointAudience
from tests.unit.client.answers import Script, problem, reply
from tests.unit.client.webhook_answers import AT, DELIVERY_ID, ENDPOINT_ID, URL, endpoint, endpoint_with_secret, stats

PATH = f"/v1/webhook-endpoints/{ENDPOINT_ID}"


def sent(script: Script) -> Any:
    """Return the body of the only request."""
    [request] = script.requests
    return json.loads(request.content)


def targets(script: Script) -> list[tuple[str, str]]:
    """Return method, and path with query, of every request."""
    return [(request.method, request.url.raw_path.decode()) for request in script.requests]


def test_an_endpoint_is_created_with_all_its_fields() -> None:
    """What is given is sent; the reply has the secret."""
    script = Script(reply(endpoint_with_secret(), 201))
    created = script.client().webhook_endpoints.create(
        URL,
        description="the shop",
        events=["job.failed"],
        metadata_filter={"order": "7"},
        headers={"Authorization": "Bearer x"},
        ed25519=True,
        audience=EndpointAudience.OPERATOR,
    )
    assert sent(script) == {
        "url": URL,
        "description": "the shop",
        "events": ["job.failed"],
        "metadata_filter": {"order": "7"},
        "headers": {"Authorization": "Bearer x"},
        "ed25519": True,
        "audience": "operator",
    }
    assert (targets(script), created.secret[:6]) == ([("POST", "/v1/webhook-endpoints")], "whsec_")


def test_the_defaults_are_the_api_s() -> None:
    """Without events the API chooses them."""
    script = Script(reply(endpoint_with_secret(), 201))
    script.client().webhook_endpoints.create(URL)
    assert sent(script)["events"] is None


@pytest.mark.parametrize("name", ["create", "test"])
def test_what_would_happen_twice_is_sent_once(name: str) -> None:
    """A creation and a test event are not repeated after a lost response."""
    script = Script(httpx2.ReadTimeout("slow"))
    with pytest.raises(UnreachableError, match="may have been carried out"):
        getattr(script.client().webhook_endpoints, name)(ENDPOINT_ID)
    assert len(script.requests) == 1


def test_endpoints_are_read_by_id_and_by_name() -> None:
    """The list has an audience; `implicit` is an id."""
    script = Script(reply(WebhookEndpointList([endpoint()])), reply(endpoint_with_secret()), reply(stats()))
    endpoints = script.client().webhook_endpoints
    assert endpoints.list(EndpointAudience.OPERATOR) == [endpoint()]
    assert endpoints.get("implicit") == endpoint_with_secret()
    assert endpoints.stats(ENDPOINT_ID).deliveries["failed"] == 3
    assert targets(script) == [
        ("GET", "/v1/webhook-endpoints?audience=operator"),
        ("GET", "/v1/webhook-endpoints/implicit"),
        ("GET", f"{PATH}/stats"),
    ]


def test_a_change_sends_the_fields_that_are_set() -> None:
    """Fields that are not set are absent; pause and resume change the status alone."""
    script = Script(*(reply(endpoint()) for _ in range(3)))
    endpoints = script.client().webhook_endpoints
    endpoints.change(ENDPOINT_ID, WebhookEndpointChange(headers={}, ed25519=False))
    endpoints.pause("implicit")
    endpoints.resume(ENDPOINT_ID)
    bodies = [json.loads(request.content) for request in script.requests]
    assert bodies == [{"headers": {}, "ed25519": False}, {"status": "paused"}, {"status": "enabled"}]
    assert targets(script) == [("PATCH", PATH), ("PATCH", "/v1/webhook-endpoints/implicit"), ("PATCH", PATH)]


def test_an_endpoint_is_deleted_and_tested() -> None:
    """A deletion returns nothing, a test the id of its delivery."""
    script = Script(httpx2.Response(204), reply({"delivery_id": DELIVERY_ID}, 202))
    endpoints = script.client().webhook_endpoints
    endpoints.delete(ENDPOINT_ID)
    assert endpoints.test(ENDPOINT_ID) == DELIVERY_ID
    assert targets(script) == [("DELETE", PATH), ("POST", f"{PATH}/test")]


def test_a_rotation_is_repeated_only_where_the_api_refuses_a_second_one() -> None:
    """A plain rotation is sent again after a lost response; one that ends the previous secret is not."""
    plain = Script(httpx2.ReadTimeout("slow"), problem(409, "rotation_under_way", "Under way."))
    with pytest.raises(ApiError, match="Under way"):
        plain.client().webhook_endpoints.rotate_secret(ENDPOINT_ID)
    ending = Script(httpx2.ReadTimeout("slow"))
    with pytest.raises(UnreachableError):
        ending.client().webhook_endpoints.rotate_secret(ENDPOINT_ID, end_previous=True)
    assert targets(plain) == [("POST", f"{PATH}/rotate-secret?end_previous=false")] * 2
    assert targets(ending) == [("POST", f"{PATH}/rotate-secret?end_previous=true")]


def test_a_recovery_takes_as_many_requests_as_it_needs() -> None:
    """Each request continues where the one before ended, and each is reported."""
    later = AT + timedelta(hours=1)
    first = RecoverReply(redelivered=10_000, next_since=later, kept_since=AT)
    script = Script(reply(first), reply(RecoverReply(redelivered=3, kept_since=later)))
    seen: list[Recovered] = []
    done = script.client().webhook_endpoints.recover("implicit", AT, on_page=seen.append)
    assert done == Recovered(redelivered=10_003, next_since=None, kept_since=AT)
    assert [page.redelivered for page in seen] == [10_000, 10_003]
    assert [json.loads(request.content) for request in script.requests] == [
        {"since": "2026-11-21T12:00:00Z", "include": "failed"},
        {"since": "2026-11-21T13:00:00Z", "include": "failed"},
    ]


def test_a_recovery_that_does_not_advance_ends() -> None:
    """A server that repeats itself is an error instead of a loop without end."""
    script = Script(reply(RecoverReply(redelivered=0, next_since=AT)))
    with pytest.raises(UnreachableError, match="does not advance"):
        script.client().webhook_endpoints.recover(ENDPOINT_ID, AT)


@pytest.mark.parametrize(("include", "requests"), [("failed", 2), ("all", 1)])
def test_only_a_recovery_of_failures_is_repeated(include: Any, requests: int) -> None:
    """After a lost response what succeeded is not sent a third time."""
    script = Script(httpx2.ReadTimeout("slow"), problem(404, "not_found", "No such endpoint."))
    with pytest.raises((ApiError, UnreachableError)):
        script.client().webhook_endpoints.recover(ENDPOINT_ID, AT, include=include)
    assert len(script.requests) == requests
