"""`darkroom dead-letters export` from a running service, through the edge and without it."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from darkroom_contracts.api import Scope
from darkroom_local.home import REPOSITORY
from darkroom_local.ports import LOOPBACK
from darkroom_local.program import base_environment
from tests.integration.operations.desk_letters import DeskLetters
from tests.support.commands import DARKROOM, darkroom
from tests.support.edge import UPSTREAMS, run_edge
from tests.support.endpoints import Bucket
from tests.support.fixtures import ServiceFactory
from tests.support.keys import insert_key
from tests.support.processes import ServiceProcess

MANY = 20_000
"""Letters whose lines fill the buffers between the service and a command that is not read several times."""


@pytest.fixture
async def operations(
    database: str, vhost: str, bucket: Bucket, rows: asyncpg.Connection, start_service: ServiceFactory
) -> ServiceProcess:
    """Start the service over many letters."""
    await DeskLetters(rows).add(MANY)
    settings = {
        "DARKROOM_DATABASE_URL": database,
        "DARKROOM_AMQP_URL": vhost,
        "DARKROOM_MODELS_FILE": str(REPOSITORY / "deploy" / "models.toml"),
        **bucket.environment(),
    }
    return await start_service("operations", settings)


@pytest.fixture(params=["direct", "edge"])
async def environment(
    request: pytest.FixtureRequest, operations: ServiceProcess, rows: asyncpg.Connection
) -> AsyncIterator[dict[str, str]]:
    """Return an operator's settings: with the URL of the service, or of an edge before it."""
    key = {"DARKROOM_OPERATOR_KEY": (await insert_key(rows, "desk", scope=Scope.OPERATOR)).reveal()}
    if request.param == "direct":
        yield key | {"DARKROOM_URL": operations.url}
        return
    upstreams = dict.fromkeys(UPSTREAMS, f"{LOOPBACK}:{operations.port}")
    async with run_edge(upstreams, "darkroom") as edge:
        yield key | {"DARKROOM_URL": edge.url}


async def test_every_letter_is_exported(environment: dict[str, str], tmp_path: Path) -> None:
    """The newest first, each once."""
    path = tmp_path / "letters.jsonl"
    finished = await darkroom("dead-letters", "export", "--output", str(path), **environment)
    assert (finished.exit_code, finished.err) == (0, f"Exported {MANY:,} dead letters to {path}.\n")
    ids = [json.loads(line)["id"] for line in path.read_bytes().splitlines()]
    assert len(ids) == MANY
    assert ids == sorted(set(ids), reverse=True)


async def test_a_service_that_dies_meanwhile_is_noticed(
    operations: ServiceProcess, environment: dict[str, str]
) -> None:
    """The command says that more would follow and exits with 1; what it printed is complete lines."""
    process = await asyncio.create_subprocess_exec(
        *(DARKROOM, "dead-letters", "export"),
        env={**base_environment(), **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    first = await process.stdout.readline()
    operations.kill()
    rest, said = await process.communicate()
    lines = (first + rest).splitlines(keepends=True)
    assert 1 < len(lines) < MANY
    assert all(line.endswith(b"\n") and json.loads(line)["id"] for line in lines)
    assert process.returncode == 1
    assert said.decode().startswith("Error: The response was cut off")
    assert f"The lines above are complete ({len(lines):,} dead letters), and more would follow; export again." in (
        said.decode()
    )
