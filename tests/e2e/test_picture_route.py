"""The edge's picture route: Caddy in front of an S3 server, and of a stub in its place."""

import asyncio
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from darkroom_contracts.errors import ApiError
from darkroom_local.ports import LOOPBACK
from tests.support.edge import UPSTREAMS, Edge, problem, run_edge
from tests.support.endpoints import Bucket
from tests.support.services import Services
from tests.support.stubs import stub_server

NAMES = (LOOPBACK, "localhost", "darkroom.example")
CREDENTIALS = {"Authorization": "Bearer dk_client_secret-key", "Cookie": "session=secret-cookie"}
CONTENT = b"\x89PNG picture"
CHANGES = ("another signature", "another object", "a longer life", "no expiry", "no signature")

with_and_without_credentials = pytest.mark.parametrize("headers", [{}, CREDENTIALS], ids=["bare", "credentials"])


@pytest.fixture(scope="module")
async def pictures(services: Services) -> AsyncIterator[Bucket]:
    bucket = await services.object_store.create_bucket()
    yield bucket
    await services.object_store.delete_bucket(bucket)


@pytest.fixture(scope="module")
async def edge(pictures: Bucket) -> AsyncIterator[Edge]:
    s3 = urlsplit(pictures.endpoint).netloc
    # Nothing of this module reaches a service.
    upstreams = dict.fromkeys(UPSTREAMS, s3)
    async with run_edge(upstreams, pictures.name) as edge:
        yield edge


@pytest.fixture
async def key(pictures: Bucket) -> str:
    """Return the key of a stored picture."""
    key = f"jobs/{uuid4()}/0-abc.png"
    put = pictures.client().put_object
    await asyncio.to_thread(put, pictures.name, key, io.BytesIO(CONTENT), len(CONTENT), "image/png")
    return key


@pytest.fixture
def picture(pictures: Bucket, key: str) -> str:
    """Return path and query of the stored picture, signed for S3's own host."""
    return signed(pictures, key)


def signed(bucket: Bucket, key: str, at: datetime | None = None) -> str:
    """Return path and query of a URL that is valid for an hour from `at`, or from now."""
    lifetime = timedelta(hours=1)
    url = urlsplit(bucket.client().presigned_get_object(bucket.name, key, lifetime, request_date=at))
    return f"{url.path}?{url.query}"


@pytest.mark.parametrize("name", NAMES)
@with_and_without_credentials
async def test_a_picture_is_served_under_every_name(
    edge: Edge, picture: str, name: str, headers: dict[str, str]
) -> None:
    """The signature alone opens it, also for a client that sends the API's credentials again after a redirect."""
    async with edge.client(name) as http:
        response = await http.get(picture, headers=headers)
    assert (response.status_code, response.content) == (200, CONTENT)
    assert response.headers["content-type"] == "image/png"


async def test_a_picture_is_never_a_page_of_the_origin(edge: Edge, picture: str) -> None:
    """A picture that is opened as a document runs no script, and its type is not guessed."""
    async with edge.client() as http:
        headers = (await http.get(picture)).headers
    assert headers.get_list("content-security-policy") == ["sandbox"]
    assert headers.get_list("x-content-type-options") == ["nosniff"]


@with_and_without_credentials
async def test_the_head_of_a_picture(edge: Edge, picture: str, headers: dict[str, str]) -> None:
    """The same URL answers HEAD, though a signature covers the method: type and size, and no body."""
    async with edge.client() as http:
        response = await http.head(picture, headers=headers)
    assert (response.status_code, response.content) == (200, b"")
    assert (response.headers["content-type"], response.headers["content-length"]) == ("image/png", str(len(CONTENT)))


async def test_a_part_of_a_picture(edge: Edge, picture: str) -> None:
    """A range is answered with its bytes alone, with the protection of a whole picture."""
    async with edge.client() as http:
        response = await http.get(picture, headers={"Range": "bytes=1-3"})
    assert (response.status_code, response.content) == (206, CONTENT[1:4])
    assert response.headers["content-range"] == f"bytes 1-3/{len(CONTENT)}"
    assert response.headers["content-security-policy"] == "sandbox"


def tampered(picture: str, change: str) -> str:
    """Return a URL that differs from a valid one."""
    match change:
        case "another signature":
            return picture[:-1] + ("0" if picture[-1] != "0" else "1")
        case "another object":
            return picture.replace("0-abc.png", "1-abc.png")
        case "a longer life":
            return picture.replace("X-Amz-Expires=3600", "X-Amz-Expires=3601")
        case "no expiry":
            return picture.replace("X-Amz-Expires=3600&", "")
    return picture.partition("?")[0]


@pytest.mark.parametrize("change", CHANGES)
@with_and_without_credentials
async def test_a_tampered_url_is_a_403_problem(edge: Edge, picture: str, change: str, headers: dict[str, str]) -> None:
    """A refusal of S3 is a problem, and no other credentials replace the signature."""
    changed = tampered(picture, change)
    assert changed != picture
    async with edge.client() as http:
        response = await http.get(changed, headers=headers)
    assert response.status_code == 403
    assert problem(response).code == ApiError.FORBIDDEN


@with_and_without_credentials
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_an_expired_url_is_a_403_problem(
    edge: Edge, pictures: Bucket, key: str, method: str, headers: dict[str, str]
) -> None:
    """A URL that was signed two hours ago for one hour."""
    expired = signed(pictures, key, datetime.now(UTC) - timedelta(hours=2))
    async with edge.client() as http:
        response = await http.request(method, expired, headers=headers)
    assert response.status_code == 403
    if method == "GET":
        assert problem(response).code == ApiError.FORBIDDEN


async def test_a_missing_picture_is_a_404_problem(edge: Edge, pictures: Bucket) -> None:
    """A valid signature for an object that does not exist is a problem."""
    async with edge.client() as http:
        response = await http.get(signed(pictures, "jobs/gone.png"))
    assert response.status_code == 404
    assert problem(response).code == ApiError.NOT_FOUND


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH", "OPTIONS"])
async def test_pictures_are_read_only_at_the_edge(edge: Edge, method: str, picture: str) -> None:
    """No signature permits a write through the edge."""
    async with edge.client() as http:
        response = await http.request(method, picture, content=b"other")
        assert (await http.get(picture)).content == CONTENT
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, HEAD"
    assert problem(response).code == ApiError.METHOD_NOT_ALLOWED


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_s3_sees_its_own_host_and_no_credentials(method: str) -> None:
    """The API's key and cookies stay at the edge, and S3 is asked for what was signed."""
    async with stub_server("s3") as stub:
        upstreams = dict.fromkeys(UPSTREAMS, stub.address)
        async with run_edge(upstreams, "darkroom") as edge, edge.client("darkroom.example") as http:
            await http.request(method, "/darkroom/a.png?X-Amz-Signature=s", headers=CREDENTIALS)
    (head,) = stub.heads
    assert head.startswith("GET /darkroom/a.png?X-Amz-Signature=s HTTP/1.1\r\n")
    assert f"\r\nHost: {stub.address}\r\n" in head
    assert "secret" not in head


async def test_the_log_holds_no_signature(edge: Edge, picture: str) -> None:
    """An access is logged without its query and its headers."""
    async with edge.client() as http:
        for url in (picture, *(tampered(picture, change) for change in CHANGES)):
            await http.get(url, headers=CREDENTIALS | {"Referer": f"{edge.url}{picture}"})
    log = edge.log.read_text()
    assert urlsplit(picture).path in log
    assert "X-Amz-" not in log
    assert "secret" not in log


async def test_the_log_holds_no_location() -> None:
    """The redirect of a kept link has a signature in its response headers."""
    location = b"/darkroom/jobs/picture.png?X-Amz-Signature=secret-signature"
    async with stub_server("status", headers={b"Location": location}) as stub:
        upstreams = dict.fromkeys(UPSTREAMS, stub.address)
        async with run_edge(upstreams, "darkroom") as edge, edge.client() as http:
            response = await http.get(f"/v1/jobs/{uuid4()}/outputs/0")
            assert response.headers["location"] == location.decode()
            log = edge.log.read_text()
    assert "/outputs/0" in log
    assert "secret" not in log
