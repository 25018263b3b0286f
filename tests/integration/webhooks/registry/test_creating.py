"""POST /v1/webhook-endpoints."""

import asyncio
from typing import Any

import asyncpg
import httpx2
import pytest

from darkroom_contracts.api.webhook_endpoints import MAX_ENDPOINTS
from darkroom_contracts.webhooks import TERMINAL_EVENTS, OperatorEvent
from darkroom_contracts.webhooks.signing import PUBLIC_KEY_PREFIX, decode_key
from tests.integration.webhooks.registry.made import PATH, URL, make, read
from tests.support.declared import refusal


async def test_a_url_is_enough(client: httpx2.AsyncClient) -> None:
    """The endpoint is enabled and receives every end of a job; its secret is shown, and can be shown again."""
    response = await client.post(PATH, json={"url": URL})
    made = response.json()
    assert response.headers["location"] == f"{PATH}/{made['id']}"
    assert response.headers["cache-control"] == "no-store"
    assert (made["url"], made["status"], made["audience"], made["implicit"]) == (URL, "enabled", "client", False)
    assert made["events"] == list(TERMINAL_EVENTS)
    assert (made["description"], made["metadata_filter"], made["header_names"]) == ("", {}, [])
    assert (made["ed25519"], made["public_key"]) == (False, None)
    assert len(decode_key(made["secret"])) == 32
    assert await read(client, made["id"]) == made


async def test_every_field_is_kept(client: httpx2.AsyncClient) -> None:
    """Events once each, names of headers in lower case."""
    made = await make(
        client,
        description="Orders\nof the shop",
        events=["job.started", "job.failed", "job.started"],
        metadata_filter={"order": "1234"},
        headers={"Authorization": "Bearer t", "X-Shop": "a b"},
        ed25519=True,
    )
    assert made["description"] == "Orders\nof the shop"
    assert made["events"] == ["job.started", "job.failed"]
    assert made["metadata_filter"] == {"order": "1234"}
    assert made["header_names"] == ["authorization", "x-shop"]
    assert len(decode_key(made["public_key"], PUBLIC_KEY_PREFIX)) == 32
    assert await read(client, made["id"]) == made


async def test_each_endpoint_has_its_own_secret(client: httpx2.AsyncClient) -> None:
    """Two endpoints with the same URL too."""
    first, second = await make(client, ed25519=True), await make(client, ed25519=True)
    assert first["secret"] != second["secret"]
    assert first["public_key"] != second["public_key"]


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no URL": ({"url": None}, "url"),
    "another scheme": ({"url": "ftp://example.com"}, "url"),
    "plain http": ({"url": "http://example.com"}, "url"),
    "a private address": ({"url": "https://10.0.0.1/hook"}, "url"),
    "an odd spelling": ({"url": "https://0x7f.1/hook"}, "url"),
    "another port": ({"url": "https://example.com:8443"}, "url"),
    "a long URL": ({"url": "https://example.com/" + "x" * 2048}, "url"),
    "a password": ({"url": "https://a:b@example.com"}, "url"),
    "a long description": ({"description": "x" * 501}, "description"),
    "NUL": ({"description": "\0"}, "description"),
    "no events": ({"events": []}, "events"),
    "many events": ({"events": ["job.failed"] * 33}, "events"),
    "an unknown event": ({"events": ["job.failed", "job.lost"]}, "events[1]"),
    "an operators' event": ({"events": ["webhook_endpoint.disabled"]}, "events[0]"),
    "the test event": ({"events": ["webhook_endpoint.test"]}, "events[0]"),
    "a large filter": ({"metadata_filter": {str(n): "" for n in range(17)}}, "metadata_filter"),
    "a filter's value": ({"metadata_filter": {"a": "x" * 501}}, "metadata_filter"),
    "a filter's name": ({"metadata_filter": {"a b": ""}}, "metadata_filter"),
    "a number in a filter": ({"metadata_filter": {"a": 1}}, "metadata_filter"),
    "many headers": ({"headers": {f"x-{n}": "v" for n in range(21)}}, "headers"),
    "large headers": ({"headers": {f"x-{n}": "v" * 1020 for n in range(4)} | {"x-four": "v"}}, "headers"),
    "a long header": ({"headers": {"x-a": "v" * 1025}}, "headers"),
    "an empty header": ({"headers": {"x-a": ""}}, "headers"),
    "a line break in a header": ({"headers": {"x-a": "v\r\nx-b: w"}}, "headers"),
    "a final line break in a header": ({"headers": {"x-a": "v\n"}}, "headers"),
    "a space around a header": ({"headers": {"x-a": " v"}}, "headers"),
    "a letter beyond ASCII in a header": ({"headers": {"x-a": "ü"}}, "headers"),
    "a long name": ({"headers": {"x" * 65: "v"}}, "headers"),
    "an empty name": ({"headers": {"": "v"}}, "headers"),
    "a name with a colon": ({"headers": {"x:a": "v"}}, "headers"),
    "a name with a line break": ({"headers": {"x-a\n": "v"}}, "headers"),
    "one name in two cases": ({"headers": {"x-a": "v", "X-A": "w"}}, "headers.X-A"),
    "Host": ({"headers": {"Host": "v"}}, "headers.Host"),
    "Content-Type": ({"headers": {"Content-Type": "v"}}, "headers.Content-Type"),
    "Content-Length": ({"headers": {"content-length": "1"}}, "headers.content-length"),
    "a signature": ({"headers": {"Webhook-Signature": "v1,x"}}, "headers.Webhook-Signature"),
    "User-Agent": ({"headers": {"user-agent": "v"}}, "headers.user-agent"),
    "Expect": ({"headers": {"Expect": "100-continue"}}, "headers.Expect"),
    "Connection": ({"headers": {"Connection": "close"}}, "headers.Connection"),
    "Transfer-Encoding": ({"headers": {"Transfer-Encoding": "chunked"}}, "headers.Transfer-Encoding"),
    "Proxy-Authorization": ({"headers": {"Proxy-Authorization": "v"}}, "headers.Proxy-Authorization"),
    "Accept-Encoding": ({"headers": {"Accept-Encoding": "gzip"}}, "headers.Accept-Encoding"),
    "a text for a truth": ({"ed25519": "true"}, "ed25519"),
    "an unknown audience": ({"audience": "everybody"}, "audience"),
    "an unknown field": ({"secret": "whsec_x"}, "secret"),
    "a status": ({"status": "paused"}, "status"),
}


@pytest.mark.parametrize("case", WRONG)
async def test_a_wrong_field_is_named(client: httpx2.AsyncClient, rows: asyncpg.Connection, case: str) -> None:
    """Nothing is recorded, and no value of a header is quoted."""
    fields, field = WRONG[case]
    response = await client.post(PATH, json={"url": URL} | fields)
    assert refusal(response) == (422, "invalid_request", field)
    assert await rows.fetchval("SELECT count(*) FROM webhook_endpoints WHERE NOT implicit") == 0


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"url": "mailto:a@example.com"}, "an http or https URL"),
        ({"description": "\0"}, "must not hold NUL"),
        ({"metadata_filter": {"a b": ""}}, "a name that is not 1 to 64 letters"),
        ({"headers": {"X A": "v"}}, "a name that is not a token"),
        ({"headers": {"x-a": "v\n"}}, "a value that is not of visible ASCII"),
        ({"headers": {"x-a": "v", "X-A": "w"}}, "the case of names does not matter"),
        ({"events": ["job.lost"]}, "must be one of job.started, job.canceled"),
    ],
)
async def test_a_refusal_says_what_is_allowed(client: httpx2.AsyncClient, fields: dict[str, Any], words: str) -> None:
    """In words instead of patterns."""
    response = await client.post(PATH, json={"url": URL} | fields)
    assert words in response.json()["detail"]


async def test_headers_within_bounds(client: httpx2.AsyncClient) -> None:
    """Cookies and credentials are allowed; the bounds are inclusive."""
    large = {"cookie": "a=b", "x-large": "v" * 1024, "n" * 64: "v"}
    assert (await make(client, headers=large))["header_names"] == ["cookie", "x-large", "n" * 64]
    many = {f"x-{n:02}": "v" for n in range(20)}
    assert len((await make(client, headers=many))["header_names"]) == 20
    full = {f"x-{n}": "v" * 1021 for n in range(4)}
    assert sum(len(name) + len(value) for name, value in full.items()) == 4096
    await make(client, headers=full)


@pytest.mark.parametrize(
    ("content", "media_type", "expected"),
    [
        (b'{"url":', "application/json", (400, "invalid_json", None)),
        (b"[]", "application/json", (422, "invalid_request", "")),
        (b'{"url": "https://example.com"}', "text/plain", (415, "unsupported_media_type", None)),
        (b" " * 70_000, "application/json", (413, "body_too_large", None)),
        (b"[" * 30_000, "application/json", (400, "invalid_json", None)),
    ],
    ids=["cut off", "a list", "text", "large", "deep"],
)
async def test_another_body_is_refused(
    client: httpx2.AsyncClient, content: bytes, media_type: str, expected: tuple[int, str, str | None]
) -> None:
    """As every route with a body does."""
    response = await client.post(PATH, content=content, headers={"Content-Type": media_type})
    assert refusal(response) == expected


async def test_the_number_of_endpoints_is_bounded(
    client: httpx2.AsyncClient, stranger: httpx2.AsyncClient, rows: asyncpg.Connection
) -> None:
    """Also when they are created at once. Another tenant's do not count, nor do deleted ones."""
    responses = await asyncio.gather(*(client.post(PATH, json={"url": URL}) for _ in range(MAX_ENDPOINTS + 5)))
    codes = [response.status_code for response in responses]
    assert sorted(codes) == [201] * MAX_ENDPOINTS + [409] * 5
    refused = next(response for response in responses if response.status_code == 409)
    assert refusal(refused) == (409, "endpoint_limit", None)
    assert await rows.fetchval("SELECT count(*) FROM webhook_endpoints WHERE NOT implicit") == MAX_ENDPOINTS
    await make(stranger)
    made = next(response.json()["id"] for response in responses if response.status_code == 201)
    assert (await client.delete(f"{PATH}/{made}")).status_code == 204
    await make(client)


async def test_operators_endpoints_need_an_operator_s_key(
    client: httpx2.AsyncClient, operator: httpx2.AsyncClient, rows: asyncpg.Connection
) -> None:
    """They belong to no tenant, and receive all events of operators."""
    refused = await client.post(PATH, json={"url": URL, "audience": "operator"})
    assert refusal(refused) == (403, "forbidden", None)
    made = await make(operator, audience="operator")
    assert (made["audience"], made["events"]) == ("operator", list(OperatorEvent))
    assert await rows.fetchval("SELECT tenant_id FROM webhook_endpoints WHERE id = $1", made["id"]) is None
    own = await make(operator)
    assert (own["audience"], own["events"]) == ("client", list(TERMINAL_EVENTS))


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"events": ["job.failed"]}, "events[0]"), ({"metadata_filter": {"a": "b"}}, "metadata_filter")],
)
async def test_operators_receive_no_jobs(operator: httpx2.AsyncClient, fields: dict[str, Any], field: str) -> None:
    """Their events have no metadata."""
    response = await operator.post(PATH, json={"url": URL, "audience": "operator"} | fields)
    assert refusal(response) == (422, "invalid_request", field)


async def test_operators_have_a_limit_too(operator: httpx2.AsyncClient) -> None:
    """It is counted apart from that of the operator's own tenant."""
    made = [operator.post(PATH, json={"url": URL, "audience": "operator"}) for _ in range(MAX_ENDPOINTS + 2)]
    codes = [response.status_code for response in await asyncio.gather(*made)]
    assert sorted(codes) == [201] * MAX_ENDPOINTS + [409] * 2
    await make(operator)
