"""Hostile messages from RabbitMQ to the operator's terminal: nothing of them reaches it that it would obey."""

from base64 import b64decode
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import asyncpg
import pytest
from msgspec.structs import replace

from chassis.broker import Broker
from darkroom_contracts.api import Scope
from darkroom_contracts.topology import DEAD_EXCHANGE, Lanes, topology
from darkroom_local.home import REPOSITORY
from tests.integration.operations.jobs import INPUT, Jobs, complete_message
from tests.support.commands import darkroom
from tests.support.endpoints import Bucket
from tests.support.fixtures import ServiceFactory
from tests.support.hostile import HOSTILE, assert_safe
from tests.support.keys import insert_key
from tests.support.terminals import terminal
from tests.support.waiting import eventually

FORGED = f"{HOSTILE}\n01993b5c-0001-7000-8000-0000000000d1  job  forged"
MEGABYTE = 1024 * 1024
LIMIT = {"reason": "delivery_limit", "queue": "darkroom.render.tiny.v1", "count": 1}

Reader = Callable[..., Awaitable[str]]


@pytest.fixture
async def environment(
    database: str, vhost: str, bucket: Bucket, rows: asyncpg.Connection, start_service: ServiceFactory
) -> dict[str, str]:
    """Start operations as a process that ingests, and return an operator's settings."""
    settings = {
        "DARKROOM_DATABASE_URL": database,
        "DARKROOM_AMQP_URL": vhost,
        "DARKROOM_MODELS_FILE": str(REPOSITORY / "deploy" / "models.toml"),
        **bucket.environment(),
    }
    operations = await start_service("operations", settings)
    key = await insert_key(rows, "desk", scope=Scope.OPERATOR)
    return {"DARKROOM_URL": operations.url, "DARKROOM_OPERATOR_KEY": key.reveal()}


@pytest.fixture
def read(environment: dict[str, str]) -> Reader:
    """Return what runs a command of dead letters in a terminal, and returns what it wrote there."""

    async def run(*arguments: object, columns: int = 80) -> str:
        async with terminal("dead-letters", *map(str, arguments), columns=columns, **environment) as opened:
            assert await opened.ends() == 0, opened.text
            return opened.raw.replace("\r\n", "\n")

    return run


async def bury(vhost: str, messages: list[tuple[bytes, dict[str, Any]]]) -> None:
    """Publish messages to the dead-letter queue, as anybody can who has access to the broker."""
    broker = Broker(vhost, "test")
    await broker.declare(topology([], Lanes(())))
    await broker.close()
    async with await aio_pika.connect(vhost) as connection:
        exchange = await (await connection.channel()).get_exchange(DEAD_EXCHANGE, ensure=False)
        for body, headers in messages:
            await exchange.publish(aio_pika.Message(body, headers=headers), "tiny")


def hostile_messages(jobs: Jobs, victim: UUID) -> dict[str, tuple[bytes, dict[str, Any]]]:
    """Return messages by what is wrong with them; `victim` is a queued job of the tenant."""
    forged_input = replace(INPUT, prompt=FORGED, negative_prompt=FORGED)
    headers = {"from": FORGED, "x-death": [LIMIT | {"queue": FORGED}], "nested": {"deep": [{FORGED[:40]: FORGED}]}}
    orphan = complete_message(uuid4(), jobs.tenant, model=FORGED, input=forged_input, metadata={FORGED: FORGED})
    return {
        "escapes": (FORGED.encode(), headers),
        "not UTF-8": (b"\xff\xfe\x9b2J\x1b[2J" * 20, headers),
        "a megabyte": (bytes(range(256)) * (MEGABYTE // 256), headers),
        "a megabyte of text": (b"\x1b]0;owned\x07" * (MEGABYTE // 10), headers),
        "orphan": (orphan, headers),
        "another tenant's job": (complete_message(victim, uuid4(), input=forged_input), {"x-death": [LIMIT]}),
        "forged record": (b'{"type":"darkroom.render.v2","model":"\\u001b[31m"}', {"x-death": FORGED}),
    }


async def test_hostile_messages_reach_the_terminal_as_text(
    environment: dict[str, str], read: Reader, vhost: str, jobs: Jobs
) -> None:
    """Lists, one letter, what is hidden of it, groups and exports; the job that a forged message names stays queued."""
    victim = await jobs.queued()
    messages = hostile_messages(jobs, victim)
    await bury(vhost, [*messages.values()])

    async def ingested() -> bool:
        return bool(await jobs.value("SELECT count(*) FROM dead_letters") == len(messages))

    await eventually(ingested, seconds=30, what="each message is a dead letter")
    assert await jobs.status(victim) == "queued"
    letters = await jobs.fetch("SELECT id, group_id, body FROM dead_letters ORDER BY id")
    for columns in (80, 160):
        listed = await read("list", columns=columns)
        assert_safe(listed)
        assert [line[:36] for line in listed.splitlines() if line[:1] == "0"] == [
            str(letter["id"]) for letter in reversed(letters)
        ]
        assert_safe(await read("groups", columns=columns))
    for letter in letters:
        shown = await read("show", letter["id"])
        revealed = await read("reveal", letter["id"], "--reason", "a suspicion")
        assert_safe(shown + revealed)
        assert len(revealed) < 100_000
    for group in {letter["group_id"] for letter in letters}:
        assert_safe(await read("groups", group))
    assert_safe(await read("export"))
    await _programs_get_exact_bytes(environment, letters)


async def _programs_get_exact_bytes(environment: dict[str, str], letters: list[Any]) -> None:
    """Check that the bytes of each message survive, in JSON that may be printed."""
    for letter in letters:
        arguments = ("dead-letters", "reveal", str(letter["id"]), "--reason", "a suspicion", "--json")
        revealed = await darkroom(*arguments, **environment)
        assert_safe(revealed.out)
        assert b64decode(revealed.json["body"]) == letter["body"]
