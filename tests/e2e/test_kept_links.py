"""The links of a rendered job at a whole stack behind an edge, which has no public URL: links are paths."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from darkroom import Client as PublicClient
from darkroom_contracts.api import Job
from darkroom_local.ports import LOOPBACK
from tests.support.commands import darkroom
from tests.support.edge import Edge, problem, run_edge_of
from tests.support.http_client import Client
from tests.support.stack import MODEL, Stack

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("workers")]

NAMES = (LOOPBACK, "localhost", "darkroom.example")


@pytest.fixture(scope="module")
async def edge(stack: Stack) -> AsyncIterator[Edge]:
    async with run_edge_of(stack) as edge:
        yield edge


@pytest.fixture
async def job(client: Client) -> Job:
    """Return a succeeded job of the stack's default tenant."""
    (job,) = await client.succeeded(await client.submit(MODEL, seed=31, num_images=2))
    return job


@pytest.fixture
async def key(stack: Stack) -> str:
    """Return an API key of the stack's default tenant."""
    return await stack.key()


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("name", NAMES)
async def test_a_kept_link_leads_to_its_picture_under_every_name(edge: Edge, job: Job, key: str, name: str) -> None:
    """A client that follows the redirect sends its key again, and still gets the picture."""
    headers = {"Authorization": f"Bearer {key}"}
    async with edge.client(name) as http:
        for output in job.outputs:
            response = await http.get(output.link, headers=headers, follow_redirects=True)
            assert [step.status_code for step in (*response.history, response)] == [302, 200]
            assert response.request.headers["authorization"] == headers["Authorization"]
            assert response.request.headers["host"] == f"{name}:{edge.port}"
            assert digest(response.content) == output.sha256


async def test_the_picture_behind_a_kept_link_needs_no_key(edge: Edge, job: Job, key: str) -> None:
    """The location may be opened by a browser, whose images send no Authorization; the link itself needs the key."""
    async with edge.client() as http:
        redirect = await http.get(job.outputs[1].link, headers={"Authorization": f"Bearer {key}"})
        assert digest((await http.get(redirect.headers["location"])).content) == job.outputs[1].sha256
        refused = await http.get(job.outputs[1].link)
    assert (refused.status_code, problem(refused).code) == (401, "unauthenticated")


async def test_the_client_downloads_by_path(edge: Edge, job: Job, key: str) -> None:
    """A URL without an origin is fetched from the server that the client talks to."""

    def work() -> list[str]:
        with PublicClient(edge.url, key) as client:
            return [digest(client.download(output)) for output in client.job(job.id).outputs]

    assert job.outputs[0].url.startswith("/")
    assert await asyncio.to_thread(work) == [output.sha256 for output in job.outputs]


async def test_the_command_saves_the_picture(edge: Edge, key: str, tmp_path: Path) -> None:
    """`darkroom submit --output` works through the edge, and prints a URL that opens in a browser."""
    target = tmp_path / "picture.png"
    settings = {"DARKROOM_URL": edge.url, "DARKROOM_API_KEY": key}
    finished = await darkroom("submit", "a red circle", "--model", MODEL, "--output", str(target), **settings)
    assert finished.exit_code == 0, finished.err
    (url,) = re.findall(r"http\S+", finished.out)
    assert url.startswith(f"{edge.url}/")
    async with httpx2.AsyncClient(trust_env=False) as anybody:
        assert (await anybody.get(url)).content == target.read_bytes()
