"""`make demo`, `make status`, `make logs` and `make down` on a whole stack of their own on this machine."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import psutil
import pytest
from PIL import Image

from darkroom_local import processes
from darkroom_local.parts import rabbitmq
from darkroom_local.services import read_services
from training.shapes.scorer import Reading, read

NAMES = {"epmd", "postgres", "s3", "rabbitmq", "edge", *(service.name for service in read_services())}
SECRETS = ("DARKROOM_API_KEY", "DARKROOM_OPERATOR_KEY", "DARKROOM_S3_SECRET_KEY")
START_SECONDS = 300

pytestmark = [
    pytest.mark.timeout(START_SECONDS * 2),
    pytest.mark.skipif(not rabbitmq.is_installed(), reason="a stack without Docker needs RabbitMQ's programs"),
]


@dataclass(frozen=True)
class LocalStack:
    """A stack in a folder of its own, and the output of `demo`, which started it."""

    home: Path
    output: str

    def printed(self, label: str) -> str:
        """Return the text after a label of the demo's last lines."""
        table = dict(line.split(":", 1) for line in self.output.splitlines() if ":  " in line)
        return table[label].strip()

    def run(self, *arguments: str) -> str:
        return local(self.home, *arguments)

    def settings(self) -> dict[str, str]:
        """Return the environment file's settings."""
        lines = (self.home / "env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def darkroom(self, *arguments: str) -> str:
        """Run `darkroom` as the stack's user and return its output. Fails when the command does."""
        command = (str(Path(sys.executable).parent / "darkroom"), *arguments)
        environment = os.environ | self.settings()
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout

    def logs(self) -> dict[str, str]:
        """Return the text of every log, the parts' own included, by name."""
        files = {*self.home.rglob("*.log"), *(self.home / "logs").iterdir()}
        return {file.name: file.read_text(errors="replace") for file in files if file.is_file()}

    def status(self) -> dict[str, Any]:
        return dict(json.loads(self.run("status", "--json")))


def local(home: Path, *arguments: str) -> str:
    """Run a command of the local stack and return its output. Fails when the command does."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("DARKROOM_")}
    environment["DARKROOM_HOME"] = str(home)
    command = (sys.executable, "-m", "darkroom_local", *arguments)
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=START_SECONDS)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    home = tmp_path_factory.mktemp("stack") / "home"
    try:
        yield LocalStack(home, local(home, "demo"))
    finally:
        processes.stop(processes.of_stack(home), seconds=20)


def test_the_demo_shows_what_its_prompt_says(stack: LocalStack) -> None:
    """The pixels of the picture are two red circles on a blue background."""
    assert 'Submitted "two red circles on a blue background"' in stack.output
    with Image.open(stack.printed("Picture")) as picture:
        assert (picture.format, picture.size) == ("PNG", (64, 64))
        assert read(np.asarray(picture.convert("RGB"))) == Reading(2, "red", "circle", "blue")


def test_the_demo_ends_with_the_next_steps(stack: LocalStack) -> None:
    """The last lines are the API's URL, what webhooks may reach, and the commands to submit, to look and to stop."""
    assert stack.printed("API").startswith("http://127.0.0.1:")
    assert "Webhooks: may reach 127.0.0.1 as well as public hosts" in stack.output
    assert stack.printed("Stop").endswith("make down")


def test_its_picture_is_verified(stack: LocalStack) -> None:
    """`darkroom verify` renders the demo's picture again through the edge, and it is identical."""
    assert stack.darkroom("verify", stack.printed("Picture")).endswith("identical: the same bytes.\n")


def test_status_names_every_program_and_its_pid(stack: LocalStack) -> None:
    """Everything is ready, and each pid is that of the program itself."""
    status = stack.status()
    assert status["running"]
    assert {program["name"] for program in status["programs"]} == NAMES
    assert all(program["ready"] for program in status["programs"])
    for program in status["programs"]:
        assert processes.program_name(psutil.Process(program["pid"])) == program["name"]


def test_everything_listens_on_loopback_only(stack: LocalStack) -> None:
    """No port of the stack, RabbitMQ's management, distribution and epmd included, is open to other machines."""
    addresses = {
        connection.laddr.ip
        for process in processes.of_stack(stack.home)
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert addresses <= {"127.0.0.1", "::1"}
    assert addresses


def test_the_environment_file_opens_the_api(stack: LocalStack) -> None:
    """Its URL and key are those of the running stack; without a key the API answers 401."""
    settings = stack.settings()
    url = settings["DARKROOM_URL"] + "/v1/models"
    key = settings["DARKROOM_API_KEY"]
    assert httpx2.get(url, headers={"Authorization": f"Bearer {key}"}, trust_env=False).status_code == 200
    assert httpx2.get(url, trust_env=False).status_code == 401


def test_no_log_holds_a_credential(stack: LocalStack, tmp_path: Path) -> None:
    """After requests of every outcome no program has logged a signature, a key, or a secret of the stack."""
    settings = stack.settings()
    job = json.loads(stack.darkroom("submit", "a red circle", "--output", str(tmp_path / "p.png"), "--json"))
    (output,) = job["outputs"]
    link, picture = output["link"], output["url"]
    assert link.startswith(settings["DARKROOM_URL"])
    signature = picture.partition("X-Amz-Signature=")[2]
    seen: set[int] = set()
    with httpx2.Client(trust_env=False, follow_redirects=True, timeout=30) as http:
        assert http.get(picture).content == (tmp_path / "p.png").read_bytes()
        for key in (settings["DARKROOM_API_KEY"], settings["DARKROOM_OPERATOR_KEY"], "dk_client_unknown-key"):
            headers = {"Authorization": f"Bearer {key}", "Cookie": f"key={key}", "Referer": picture}
            seen |= {
                http.request(method, url, headers=headers).status_code
                for url in (link, link + "7", picture, picture + "0", picture.replace(".png", ".pn"))
                for method in ("GET", "HEAD", "PUT", "DELETE")
            }
    assert seen == {200, 401, 403, 404, 405}
    logs = stack.logs()
    assert f"/v1/jobs/{job['id']}/outputs/0" in logs["edge.log"]
    assert {"edge.log", "s3.log", "status.log", "gateway.log"} <= logs.keys()
    secrets = ("X-Amz-", signature, "unknown-key", *(settings[name] for name in SECRETS))
    assert [(name, secret) for name, text in logs.items() for secret in secrets if secret in text] == []


def test_starting_again_changes_nothing(stack: LocalStack) -> None:
    """A second `up` finds all programs running under the pids they had."""
    before = {program["name"]: program["pid"] for program in stack.status()["programs"]}
    stack.run("up")
    assert {program["name"]: program["pid"] for program in stack.status()["programs"]} == before


def test_the_logs_are_shown(stack: LocalStack) -> None:
    """`logs` prints the last lines of the named programs' logs."""
    assert "Server startup complete" in stack.run("logs", "rabbitmq", "--no-follow", "--lines", "1000")


def test_nothing_is_left_even_without_the_supervisor(stack: LocalStack) -> None:
    """After the supervisor was killed, `down` still stops everything, epmd included; and may be repeated."""
    os.kill(stack.status()["supervisor_pid"], signal.SIGKILL)
    assert processes.of_stack(stack.home)
    stack.run("down")
    assert processes.of_stack(stack.home) == []
    assert not stack.status()["running"]
    stack.run("down")
