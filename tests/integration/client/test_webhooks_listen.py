"""`darkroom webhooks listen` as a process."""

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from darkroom.webhooks import unwrap
from darkroom_contracts.webhooks.signing import ID_HEADER
from darkroom_local.program import base_environment
from tests.support.commands import DARKROOM, darkroom
from tests.support.listening import Listening
from tests.support.receiver import always, open_receiver
from tests.support.webhooks import BODY, JOB_ID, OTHER_SECRET, SECRET, signed


async def post(listening: Listening, headers: dict[str, str]) -> int:
    async with httpx2.AsyncClient(timeout=10, trust_env=False) as http:
        return (await http.post(await listening.url(), content=BODY, headers=headers)).status_code


@pytest.fixture
async def listening(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Listening]:
    running = Listening(tmp_path, *getattr(request, "param", ()), DARKROOM_WEBHOOK_SECRET=SECRET)
    yield running
    running.child.kill_tree()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_line_for_each_delivery_until_a_signal(listening: Listening, number: signal.Signals) -> None:
    """Each line says what was delivered and whether it is verified; the signal ends the command with exit code 0."""
    assert [await post(listening, signed()), await post(listening, signed(BODY, OTHER_SECRET))] == [204, 401]
    listening.child.send(number)
    assert await listening.child.wait() == 0
    _, verified, refused, stopped = listening.lines
    assert verified.endswith(f" job.succeeded, job {JOB_ID} version 3, verified, HTTP 204")
    assert "not verified: No signature is valid" in refused
    assert refused.endswith("HTTP 401")
    assert stopped == "Stopped."


@pytest.mark.parametrize("listening", [("--json",)], indirect=True)
async def test_programs_read_an_object_for_each_delivery(listening: Listening) -> None:
    """`--json` prints one JSON object a line, at once."""
    await post(listening, signed())
    received = json.loads(listening.lines[1])
    assert (received["job"], received["version"], received["verified"]) == (str(JOB_ID), 3, True)
    assert (received["status"], received["size_bytes"]) == (204, len(BODY))


@pytest.mark.parametrize("listening", [("--json",)], indirect=True)
async def test_hostile_text_is_one_harmless_line(listening: Listening) -> None:
    """What a terminal or a reader of lines interprets is escaped, and programs read the same value."""
    hostile = "a\x9b31m\x85b\x7f"
    async with httpx2.AsyncClient(timeout=10, trust_env=False) as http:
        await http.post(await listening.url(), content=BODY, headers={ID_HEADER.encode(): hostile.encode("latin-1")})
    (line,) = listening.lines[1:]
    assert line.isprintable()
    assert json.loads(line)["id"] == hostile


async def test_the_command_ends_when_nobody_reads_its_output() -> None:
    """A delivery that it can't print is not acknowledged, and the next ones find nobody."""
    command = (str(DARKROOM), "webhooks", "listen", "--port", "0")
    environment = {**base_environment(), "DARKROOM_WEBHOOK_SECRET": SECRET}
    read, write = os.pipe()
    child = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=write, stderr=asyncio.subprocess.PIPE
    )
    os.close(write)
    os.close(read)
    try:
        assert child.stderr is not None
        url = (await child.stderr.readline()).decode().split()[-1]
        async with httpx2.AsyncClient(timeout=10, trust_env=False) as http:
            with pytest.raises(httpx2.RemoteProtocolError):
                await http.post(url, content=BODY, headers=signed())
        said = (await asyncio.wait_for(child.stderr.read(), timeout=30)).decode()
        assert (await child.wait(), said.splitlines()) == (
            1,
            ["Error: Stopped: the output can't be written: Broken pipe. What it lacks was not acknowledged."],
        )
    finally:
        if child.returncode is None:
            child.kill()


async def test_deliveries_are_forwarded(tmp_path: Path) -> None:
    """`--forward` sends the same bytes and headers to an application, whose status is the answer."""
    headers = signed()
    async with open_receiver() as application:
        application.behave = always(202)
        listening = Listening(tmp_path, "--forward", f"{application.url}/hooks", DARKROOM_WEBHOOK_SECRET=SECRET)
        try:
            assert await post(listening, headers) == 202
        finally:
            listening.child.kill_tree()
    (forwarded,) = application.requests
    assert (forwarded.path, forwarded.body) == ("/hooks", BODY)
    assert unwrap(forwarded.headers, forwarded.body, SECRET).id == headers[ID_HEADER]
    assert listening.lines[1].endswith("version 3, verified, HTTP 202")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--secret", "whsec_!"), "--secret can't be used. The key is not base64"),
        (("--forward", "127.0.0.1:3000"), "--forward is not an HTTP URL"),
        (("--forward", "http://"), "--forward is not an HTTP URL"),
        (("--forward", "http://host:port/"), "--forward is not an HTTP URL"),
        (("--host", "é..x"), "é..x:0 is not available: the host is malformed. Choose another --host"),
    ],
)
async def test_a_wrong_option_is_refused_in_a_sentence(options: tuple[str, ...], message: str) -> None:
    """The command says what is wrong before it listens."""
    finished = await darkroom("webhooks", "listen", "--port", "0", *options)
    assert (finished.exit_code, finished.out) == (1, "")
    assert message in finished.err


async def test_a_port_in_use_is_named() -> None:
    """The command says which port is not available."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        finished = await darkroom("webhooks", "listen", "--port", str(port))
    assert finished.exit_code == 1
    assert (
        f"127.0.0.1:{port} is not available: Address already in use. Choose another --host or --port." in finished.err
    )
