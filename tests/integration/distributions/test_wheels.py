"""The distributions as wheels, in environments that hold nothing else."""

import json
from pathlib import Path

import asyncpg

from darkroom_contracts.states import JobStatus
from tests.support.processes import ServiceProcess
from tests.support.wheels import Environment, Wheelhouse

FOR_COMMANDS = {"darkroom-client", "httpx2", "huggingface-hub", "pillow", "rich"}
"""What only commands and the client need."""


async def test_wheels_make_a_darkroom(
    desk: Environment, running: dict[str, ServiceProcess], settings: dict[str, str], empty_database: str
) -> None:
    """The commands and services of the wheels migrate a database, make a key, and take a job in.

    The foreign package `contracts` changes nothing.
    """
    made = desk.run("darkroom", "bootstrap-key", "--scope", "client", "--name", "test", "--json", **settings)
    key = json.loads(made.stdout)["key"]
    client = {"DARKROOM_URL": running["gateway"].url, "DARKROOM_API_KEY": key}
    submitted = desk.run("darkroom", "submit", "a red circle", "--model", "tiny", "--json", **client)
    assert submitted.returncode == 0, submitted.stderr
    job = json.loads(submitted.stdout)
    assert job["status"] == JobStatus.QUEUED
    seen = desk.run("darkroom", "job", job["id"], "--json", **client | {"DARKROOM_URL": running["status"].url})
    assert json.loads(seen.stdout)["input"]["prompt"] == "a red circle"
    rows = await asyncpg.connect(empty_database)
    assert str(await rows.fetchval("SELECT id FROM jobs")) == job["id"]
    await rows.close()


def test_services_bring_nothing_for_commands(installed_services: Environment) -> None:
    """Without extras a service brings nothing that prints and nothing that reads pictures.

    Operations has an HTTP client, for RabbitMQ's management API.
    """
    assert installed_services.packages().isdisjoint(FOR_COMMANDS - {"httpx2"})
    assert "No broken requirements" in installed_services.pip("check")


def test_the_client_leaves_the_name_contracts_to_others(desk: Environment) -> None:
    """The client is used beside a foreign package `contracts`, and all requirements of both hold."""
    used = "import contracts, darkroom, darkroom_contracts.api; print(contracts.__file__)"
    printed = desk.run("python", "-c", used)
    assert printed.stdout.strip().endswith("/site-packages/contracts/__init__.py"), printed.stderr
    assert "No broken requirements" in desk.pip("check")
    assert "  submit " in desk.run("darkroom", "--help").stdout


def test_a_worker_brings_nothing_for_commands(tmp_path: Path, wheelhouse: Wheelhouse) -> None:
    """Without extras the GPU consumer brings no hub client; `darkroom models` names the extra where it needs it."""
    worker = Environment(tmp_path, wheelhouse, "darkroom-gpu-consumer")
    assert worker.packages().isdisjoint(FOR_COMMANDS - {"pillow"})
    refused = worker.run("python", "-m", "gpu_consumer")
    assert refused.returncode == 64, refused.stdout + refused.stderr
    worker.install("darkroom-client")
    pulled = worker.run("darkroom", "models", "pull", "tiny")
    assert (pulled.returncode, pulled.stdout) == (1, "")
    assert pulled.stderr.endswith("which is not installed; run `pip install 'darkroom-gpu-consumer[cli]'`.\n")
