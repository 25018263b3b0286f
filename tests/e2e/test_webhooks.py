"""`darkroom webhooks` at a whole stack, through the edge: what a tenant sets, receives and sends again."""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from darkroom import webhooks
from darkroom_contracts.api import Scope
from darkroom_contracts.webhooks.signing import SIGNATURE_HEADER
from tests.support.edge import Edge, run_edge_of
from tests.support.listening import Listening
from tests.support.receiver import Received, accept, always, open_receiver
from tests.support.stack import MODEL, Stack
from tests.support.waiting import eventually
from tests.support.webhook_tenant import Tenant

pytestmark = pytest.mark.timeout(300)
_tenants = count()


@pytest.fixture(scope="module")
async def edge(stack: Stack) -> AsyncIterator[Edge]:
    async with run_edge_of(stack) as edge:
        yield edge


@pytest.fixture
async def tenant(stack: Stack, edge: Edge) -> AsyncIterator[Tenant]:
    """Yield a new tenant."""
    async with AsyncExitStack() as clean_up:
        receiver = await clean_up.enter_async_context(open_receiver())
        yield Tenant(edge, await stack.key(f"webhooks-{next(_tenants)}"), receiver)


def is_verified(request: Received, secret: str) -> bool:
    """Return whether the client and the library of the specification's authors accept the request."""
    event = webhooks.unwrap(request.headers, request.body, secret)
    assert Webhook(secret).verify(request.body, request.headers) == request.event
    return event.id == str(request.delivery_id)


@pytest.mark.usefixtures("workers")
async def test_a_standing_endpoint_receives_what_matches(tenant: Tenant, stack: Stack, edge: Edge) -> None:
    """A rendered job with the metadata is delivered once, signed and with the headers; no log has a secret."""
    options = ("--event", "job.succeeded", "--metadata", "shop=lisbon", "--header-env", "Authorization=TOKEN")
    endpoint = await tenant.endpoint(*options, TOKEN="Bearer of-the-shop", path="/hook")
    await tenant.canceled_job("--metadata", "shop=lisbon")
    submit = ("submit", "a red circle", "--model", MODEL, "--steps", "2", "--wait", "--json", "--metadata")
    await tenant.run(*submit, "shop=porto")
    job = (await tenant.run(*submit, "shop=lisbon")).json
    (request,) = await tenant.receiver.received(1, seconds=60)
    assert is_verified(request, endpoint["secret"])
    assert (request.path, request.headers["authorization"]) == ("/hook", "Bearer of-the-shop")
    assert (request.event["type"], request.event["data"]["id"]) == ("job.succeeded", job["id"])
    links = [[output["link"] for output in shown["outputs"]] for shown in (request.event["data"], job)]
    assert (links[0], b"X-Amz-" in request.body) == (links[1], False)
    (listed,) = await tenant.json("deliveries", "list", "--endpoint", endpoint["id"])
    assert (listed["id"], listed["job_id"]) == (str(request.delivery_id), job["id"])
    shown = await tenant.ended(request.delivery_id)
    assert (shown["status"], shown["body"].encode()) == ("succeeded", request.body)
    assert "of-the-shop" not in await tenant.out("endpoints", "show", endpoint["id"], "--json")
    logs = "".join(log.read_text() for log in (edge.log, *stack.places.logs.glob("*.log")))
    assert "/v1/webhook-endpoints" in logs
    secrets = (endpoint["secret"].removeprefix("whsec_"), "of-the-shop", tenant.environment["DARKROOM_API_KEY"])
    assert [secret for secret in secrets if secret in logs] == []


@pytest.mark.usefixtures("workers")
async def test_a_start_is_reported_where_it_is_asked_for(tenant: Tenant) -> None:
    """The claim of a worker is an event of its own, with a lower version than the end; other endpoints get the end."""
    await tenant.endpoint("--event", "job.started", "--event", "job.succeeded", path="/both")
    await tenant.endpoint(path="/ends")
    submitted = ("submit", "a red circle", "--model", MODEL, "--steps", "2", "--wait", "--json")
    job = (await tenant.run(*submitted)).json
    requests = await tenant.receiver.received(3, seconds=60)
    started, ended = sorted(
        (request.event for request in requests if request.path == "/both"), key=lambda event: event["data"]["version"]
    )
    assert (started["type"], started["data"]["status"], started["data"]["outputs"]) == ("job.started", "running", [])
    assert (ended["type"], ended["data"]["version"] > started["data"]["version"]) == ("job.succeeded", True)
    assert [event["data"]["id"] for event in (started, ended)] == [job["id"]] * 2
    assert [request.event["data"] for request in requests if request.path == "/ends"] == [ended["data"]]


async def test_a_paused_endpoint_catches_up(tenant: Tenant) -> None:
    """While it is paused its delivery waits, and another endpoint's arrives; once resumed it arrives."""
    paused = await tenant.endpoint(path="/paused")
    await tenant.endpoint(path="/other")
    await tenant.out("endpoints", "pause", paused["id"])
    job_id = await tenant.canceled_job()
    assert [request.path for request in await tenant.receiver.received(1)] == ["/other"]
    (waiting,) = await tenant.json("deliveries", "list", "--endpoint", paused["id"], "--status", "pending")
    assert (waiting["job_id"], waiting["attempts_made"]) == (job_id, 0)
    await tenant.out("endpoints", "resume", paused["id"])
    _, request = await tenant.receiver.received(2)
    assert (request.path, str(request.delivery_id)) == ("/paused", waiting["id"])


async def test_no_delivery_is_lost_while_a_secret_is_rotated(tenant: Tenant) -> None:
    """After a rotation either secret verifies; a second one is refused unless it is to end the previous secret."""
    endpoint = await tenant.endpoint("--ed25519")
    rotated = (await tenant.out("secret", "rotate", endpoint["id"])).strip()
    await tenant.canceled_job()
    (request,) = await tenant.receiver.received(1)
    assert rotated != endpoint["secret"]
    assert is_verified(request, endpoint["secret"])
    assert is_verified(request, rotated)
    public_key = (await tenant.out("secret", "show", endpoint["id"], "--public-key")).strip()
    assert webhooks.unwrap(request.headers, request.body, public_key)
    assert webhooks.unwrap(request.headers, request.body, endpoint["public_key"])
    refused = await tenant.run("webhooks", "secret", "rotate", endpoint["id"])
    assert (refused.exit_code, "--end-previous rotates again" in refused.err) == (1, True)
    ended = (await tenant.out("secret", "rotate", endpoint["id"], "--end-previous")).strip()
    await tenant.canceled_job()
    request = (await tenant.receiver.received(2))[1]
    assert is_verified(request, ended)
    assert is_verified(request, rotated)
    with pytest.raises(webhooks.SignatureError):
        webhooks.unwrap(request.headers, request.body, endpoint["secret"])


async def test_a_test_event_shows_whether_the_receiver_works(tenant: Tenant) -> None:
    """The command waits for the receiver's answer, and fails with it."""
    endpoint = await tenant.endpoint()
    accepted = await tenant.out("endpoints", "test", endpoint["id"])
    assert re.fullmatch(r"The receiver accepted delivery \S+: HTTP 204 after [\d.]+ ms\.\n", accepted)
    (request,) = tenant.receiver.requests
    assert is_verified(request, endpoint["secret"])
    assert request.event["type"] == "webhook_endpoint.test"
    tenant.receiver.behave = always(500)
    refused = await tenant.run("webhooks", "endpoints", "test", endpoint["id"])
    assert (refused.exit_code, "500" in refused.err, "next attempt" in refused.err) == (1, True, True)


async def test_a_failed_delivery_is_explained_and_sent_again(tenant: Tenant) -> None:
    """The log says why it failed; sent again it has the same id and the same bytes, and succeeds."""
    endpoint = await tenant.endpoint()
    tenant.receiver.behave = always(500, b"a stack trace")
    await tenant.canceled_job()
    (request,) = await tenant.receiver.received(1)
    delivery_id = str(request.delivery_id)

    async def has_failed() -> bool:
        return bool((await tenant.json("deliveries", "show", delivery_id))["failures"])

    await eventually(has_failed, what="the attempt failed")
    explained = await tenant.out("deliveries", "show", delivery_id)
    assert ("500" in explained, "a stack trace" in explained) == (True, False)
    tenant.receiver.behave = accept
    assert delivery_id in await tenant.out("redeliver", delivery_id)
    shown = await tenant.ended(delivery_id)
    assert (shown["status"], [each["outcome"] for each in shown["attempts"]]) == ("succeeded", ["failed", "succeeded"])
    first, second = tenant.receiver.requests
    assert (second.delivery_id, second.body) == (first.delivery_id, first.body)
    assert first.headers[SIGNATURE_HEADER] != "" != second.headers[SIGNATURE_HEADER]
    assert is_verified(second, endpoint["secret"])


async def test_a_receiver_that_is_gone_is_disabled_until_it_is_resumed(tenant: Tenant) -> None:
    """410 disables the endpoint at once; a redelivery says so, and succeeds once it is resumed."""
    endpoint = await tenant.endpoint()
    tenant.receiver.behave = always(410)
    await tenant.canceled_job()
    (request,) = await tenant.receiver.received(1)
    assert (await tenant.ended(request.delivery_id))["status"] == "failed"
    assert "disabled: " in await tenant.out("endpoints", "show", endpoint["id"])
    refused = await tenant.run("webhooks", "redeliver", str(request.delivery_id))
    assert (refused.exit_code, "`darkroom webhooks endpoints resume ENDPOINT`" in refused.err) == (1, True)
    tenant.receiver.behave = accept
    await tenant.out("endpoints", "resume", endpoint["id"])
    assert await tenant.out("recover", endpoint["id"], "--since", "1h") == "1 delivery is due again.\n"
    assert (await tenant.ended(request.delivery_id))["status"] == "succeeded"


async def test_the_webhook_urls_of_jobs_share_a_secret(tenant: Tenant) -> None:
    """`implicit` names their endpoint: its secret verifies, and what it refused for good is sent again."""
    secret = (await tenant.out("secret", "show", "implicit")).strip()
    tenant.receiver.behave = always(410)
    await tenant.canceled_job("--webhook-url", f"{tenant.receiver.url}/a")
    (request,) = await tenant.receiver.received(1)
    assert is_verified(request, secret)
    assert (await tenant.ended(request.delivery_id))["status"] == "failed"
    tenant.receiver.behave = accept
    assert await tenant.out("redeliver", "--endpoint", "implicit", "--failed") == "1 delivery is due again.\n"
    assert (await tenant.ended(request.delivery_id))["status"] == "succeeded"
    assert await tenant.out("recover", "implicit", "--since", "1h") == "0 deliveries are due again.\n"
    assert (await tenant.json("recover", "implicit", "--since", "1h", "--all"))["redelivered"] == 1
    assert {request.delivery_id for request in await tenant.receiver.received(3)} == {request.delivery_id}


async def test_from_nothing_to_a_verified_delivery(tenant: Tenant, tmp_path: Path) -> None:
    """The walk of docs/webhooks.md: `listen` takes the secret from the API, and verifies a job's delivery."""
    listening = Listening(tmp_path, **tenant.environment)
    try:
        job_id = await tenant.canceled_job("--webhook-url", await listening.url())
        assert "job.canceled" in await listening.line(f"job {job_id} version 2, verified, HTTP 204")
    finally:
        listening.child.kill_tree()


async def test_a_standing_endpoint_s_deliveries_are_verified(tenant: Tenant, tmp_path: Path) -> None:
    """`listen --endpoint` verifies what is sent to that endpoint, and refuses what another secret signed."""
    endpoint, other = await tenant.endpoint(), await tenant.endpoint()
    listening = Listening(tmp_path, "--endpoint", endpoint["id"], **tenant.environment)
    try:
        for each in (endpoint, other):
            await tenant.out("endpoints", "update", each["id"], "--url", await listening.url())
        accepted = await tenant.json("endpoints", "test", endpoint["id"])
        assert "webhook_endpoint.test" in await listening.line(f"id {accepted['id']}, verified, HTTP 204")
        refused = await tenant.run("webhooks", "endpoints", "test", other["id"])
        assert (refused.exit_code, "401" in refused.err) == (1, True)
        assert "No signature is valid" in await listening.line("HTTP 401")
    finally:
        listening.child.kill_tree()


async def test_operators_have_endpoints_that_no_tenant_sees(tenant: Tenant, stack: Stack) -> None:
    """`--operator` creates, lists and tests them with the operator's key; for a tenant they are unknown."""
    key = {"DARKROOM_OPERATOR_KEY": await stack.key("operators", Scope.OPERATOR)}
    endpoint = await tenant.endpoint("--operator", "--event", "webhook_endpoint.failing", **key)
    assert endpoint["events"] == ["webhook_endpoint.failing"]
    assert endpoint["id"] in [each["id"] for each in await tenant.json("endpoints", "list", "--operator", **key)]
    await tenant.out("endpoints", "test", endpoint["id"], "--operator", **key)
    (request,) = tenant.receiver.requests
    assert is_verified(request, endpoint["secret"])
    listed = await tenant.json("deliveries", "list", "--operator", "--endpoint", endpoint["id"], **key)
    assert [each["id"] for each in listed] == [str(request.delivery_id)]
    unknown = await tenant.run("webhooks", "endpoints", "show", endpoint["id"])
    assert (unknown.exit_code, "There is no such webhook endpoint" in unknown.err) == (1, True)
    await tenant.out("endpoints", "delete", endpoint["id"], "--operator", "--yes", **key)


async def test_endpoints_are_listed_changed_and_deleted(tenant: Tenant) -> None:
    """A change holds for the next event; a deleted endpoint is unknown, and receives nothing."""
    endpoint = await tenant.endpoint("--event", "job.failed", path="/before")
    update = ("--url", f"{tenant.receiver.url}/after", "--event", "job.canceled", "--description", "the shop")
    await tenant.out("endpoints", "update", endpoint["id"], *update)
    implicit, changed = await tenant.json("endpoints", "list")
    assert (implicit["implicit"], changed["events"], changed["description"]) == (True, ["job.canceled"], "the shop")
    await tenant.canceled_job()
    (request,) = await tenant.receiver.received(1)
    assert request.path == "/after"
    await tenant.ended(request.delivery_id)
    assert "1 succeeded" in await tenant.out("endpoints", "stats", endpoint["id"])
    await tenant.out("endpoints", "delete", endpoint["id"], "--yes")
    gone = await tenant.run("webhooks", "endpoints", "show", endpoint["id"])
    assert (gone.exit_code, gone.out) == (1, "")


async def test_another_tenant_s_endpoints_are_unknown(tenant: Tenant, stack: Stack, edge: Edge) -> None:
    """Neither an endpoint nor its deliveries can be seen or changed by another tenant."""
    endpoint = await tenant.endpoint()
    await tenant.canceled_job()
    (request,) = await tenant.receiver.received(1)
    stranger = Tenant(edge, await stack.key("webhooks-stranger"), tenant.receiver)
    for command in (
        ("endpoints", "show", endpoint["id"]),
        ("endpoints", "pause", endpoint["id"]),
        ("endpoints", "delete", endpoint["id"], "--yes"),
        ("secret", "show", endpoint["id"]),
        ("recover", endpoint["id"], "--since", "1h", "--all"),
        ("deliveries", "show", str(request.delivery_id)),
        ("redeliver", str(request.delivery_id)),
    ):
        assert (await stranger.run("webhooks", *command)).exit_code == 1
    assert await stranger.json("deliveries", "list", "--endpoint", endpoint["id"]) == []
