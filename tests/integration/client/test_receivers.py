"""The receivers of docs/webhooks.md, run as they stand there, where their runtime is installed."""

import asyncio
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import httpx2
import pytest
from msgspec.structs import replace

from darkroom_contracts.api import encode
from darkroom_contracts.webhooks.signing import ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER
from darkroom_local.home import REPOSITORY
from darkroom_local.ports import LOOPBACK
from darkroom_local.program import base_environment
from tests.support.children import Child
from tests.support.ports import free_port
from tests.support.waiting import eventually
from tests.support.webhooks import AT, OTHER_SECRET, SECRET, SUCCEEDED, signed

DOCUMENT = (REPOSITORY / "docs" / "webhooks.md").read_text()
BUILD_SECONDS = 150
LANGUAGES = {
    "Python": ("receiver.py", sys.executable),
    "JavaScript": ("receiver.mjs", "node"),
    "Go": ("receiver.go", "go"),
}
"""Each language's file and runtime."""


def code(language: str) -> str:
    """Return the code block below the language's heading."""
    found = re.search(rf"^### {language}\n.+?^```\w+\n(.+?)^```$", DOCUMENT, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def command(language: str, file: Path, runtime: str) -> list[str]:
    """Return what runs the file. Go is compiled first."""
    if language != "Go":
        return [runtime, str(file)]
    program = file.with_name("receiver")
    environment = {**base_environment(), "GOCACHE": str(file.parent / "cache"), "GO111MODULE": "off"}
    build = [runtime, "build", "-o", str(program), str(file)]
    subprocess.run(build, env=environment, cwd=file.parent, check=True, timeout=BUILD_SECONDS)
    return [str(program)]


class Receiver(NamedTuple):
    """A receiver that runs."""

    port: int
    child: Child

    async def post(self, body: bytes, headers: dict[str, str]) -> int:
        async with httpx2.AsyncClient(timeout=10, trust_env=False) as http:
            return (await http.post(f"http://{LOOPBACK}:{self.port}/", content=body, headers=headers)).status_code

    async def is_up(self) -> bool:
        try:
            _, writer = await asyncio.open_connection(LOOPBACK, self.port)
        except OSError:
            return False
        writer.close()
        return True

    def handled(self, job_id: object) -> list[str]:
        """Return what the receiver printed about a job."""
        return [line for line in self.child.log.read_text().splitlines() if str(job_id) in line]


@pytest.fixture(scope="module", params=LANGUAGES)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    name, runtime = LANGUAGES[request.param]
    found = shutil.which(runtime)
    if found is None:
        pytest.skip(f"{runtime} is not installed")
    folder, port = tmp_path_factory.mktemp(request.param), free_port()
    (folder / name).write_text(code(request.param))
    environment = {**base_environment(), "DARKROOM_WEBHOOK_SECRET": SECRET, "PORT": str(port)}
    child = Child(command(request.param, folder / name, found), environment, folder, folder / "receiver.log")
    yield Receiver(port, child)
    child.kill_tree()


@pytest.fixture
async def receiver(running: Receiver) -> Receiver:
    await eventually(running.is_up, what=f"the receiver listens: {running.child.tail()}", seconds=60)
    return running


class Sent(NamedTuple):
    """An event of a job of its own."""

    job_id: str
    body: bytes


def event(version: int = 3, job_id: str = "") -> Sent:
    chosen = job_id or str(uuid4())
    body = encode(replace(SUCCEEDED, data=replace(SUCCEEDED.data, id=chosen, version=version)))
    return Sent(chosen, body)


async def test_a_signed_delivery_is_handled_once(receiver: Receiver) -> None:
    """It is answered by 204 however often it arrives, and the job is handled once."""
    job_id, body = event()
    assert [await receiver.post(body, signed(body)) for _ in range(3)] == [204] * 3
    assert receiver.handled(job_id) == [f"job {job_id} version 3 is succeeded"]


async def test_an_older_version_is_ignored(receiver: Receiver) -> None:
    """It is answered by 204, since it was received, and changes nothing; a newer one is handled."""
    job_id, body = event(3)
    for sent in (body, event(2, job_id).body, event(4, job_id).body):
        assert await receiver.post(sent, signed(sent)) == 204
    assert receiver.handled(job_id) == [f"job {job_id} version {version} is succeeded" for version in (3, 4)]


async def test_a_delivery_that_can_t_be_trusted_is_refused(receiver: Receiver) -> None:
    """A changed body, another secret, an old or a future timestamp and missing headers are answered by 401."""
    job_id, body = event()
    headers = signed(body)
    refused = [
        await receiver.post(body.replace(b"red", b"tan"), headers),
        await receiver.post(body, {**headers, ID_HEADER: "another"}),
        await receiver.post(body, {**headers, TIMESTAMP_HEADER: str(int(headers[TIMESTAMP_HEADER]) + 1)}),
        await receiver.post(body, {**headers, SIGNATURE_HEADER: "v1,AAAA v1 , v2,x"}),
        await receiver.post(body, signed(body, OTHER_SECRET)),
        await receiver.post(body, signed(body, seconds_ago=310)),
        await receiver.post(body, signed(body, seconds_ago=-310)),
        await receiver.post(body, {}),
    ]
    assert refused == [401] * 8
    assert receiver.handled(job_id) == []


@pytest.mark.parametrize("secrets", [(SECRET, OTHER_SECRET), (OTHER_SECRET, SECRET)])
async def test_one_of_two_signatures_is_enough(receiver: Receiver, secrets: tuple[str, ...]) -> None:
    """While the secret is rotated, a delivery has two signatures."""
    job_id, body = event()
    assert await receiver.post(body, signed(body, *secrets)) == 204
    assert len(receiver.handled(job_id)) == 1


async def test_an_event_of_another_type_is_accepted_and_ignored(receiver: Receiver) -> None:
    """A later version may add types."""
    endpoint_id = str(uuid4())
    body = encode({"type": "endpoint.failing", "timestamp": AT, "data": {"id": endpoint_id}})
    assert await receiver.post(body, signed(body)) == 204
    assert receiver.handled(endpoint_id) == []
