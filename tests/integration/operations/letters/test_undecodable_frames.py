"""Messages whose frames the AMQP client would not decode: each is recorded, and none stops what comes after it."""

import struct
from collections.abc import AsyncIterator
from typing import Any

import aio_pika
import msgspec
import pamqp.encode
import pytest

from chassis.amqp_decoding import UNREADABLE
from chassis.broker import Broker
from chassis.postgres import Database
from darkroom_contracts.topology import DEAD_EXCHANGE, Lanes, topology
from operations.letters.ingest import Ingest
from tests.integration.operations.jobs import Jobs

LATIN = b"caf\xe9"
DEPTH = 3000


class Raw:
    """A value that is sent as these bytes, its type included."""

    def __init__(self, encoded: bytes) -> None:
        self.encoded = encoded


def _table(key: bytes, value: bytes) -> bytes:
    content = bytes([len(key)]) + key + value
    return b"F" + struct.pack(">I", len(content)) + content


def _nested(depth: int) -> bytes:
    table = b"V"
    for _ in range(depth):
        table = _table(b"a", table)
    return table


@pytest.fixture
async def broker(vhost: str) -> AsyncIterator[Broker]:
    opened = Broker(vhost, "operations-test")
    await opened.declare(topology(["tiny"], Lanes.of()))
    yield opened
    await opened.close()


@pytest.fixture(autouse=True)
def send_raw(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process's publishers send Raw values, and texts with surrogates as the bytes that they escape."""
    encode_value = pamqp.encode.encode_table_value

    def value(sent: Any) -> bytes:
        return sent.encoded if isinstance(sent, Raw) else encode_value(sent)

    def short(sent: str) -> bytes:
        encoded = sent.encode(errors="surrogateescape")
        return bytes([len(encoded)]) + encoded

    monkeypatch.setattr(pamqp.encode, "encode_table_value", value)
    monkeypatch.setattr(pamqp.encode, "short_string", short)
    monkeypatch.setitem(pamqp.encode.METHODS, "shortstr", short)


async def _send(vhost: str, message: aio_pika.Message, routing_key: str = "tiny") -> None:
    async with await aio_pika.connect(vhost) as connection:
        channel = await connection.channel()
        exchange = await channel.get_exchange(DEAD_EXCHANGE, ensure=False)
        await exchange.publish(message, routing_key)
        await exchange.publish(aio_pika.Message(b"after"), "tiny")


@pytest.mark.parametrize(
    "headers",
    [
        {"when": Raw(b"T" + struct.pack(">Q", 2**63))},
        {"table": Raw(_table(LATIN, b"V"))},
        {"deep": Raw(_nested(DEPTH))},
    ],
    ids=["timestamp", "key", "nesting"],
)
async def test_unreadable_headers_cost_the_headers_alone(
    vhost: str, pool: Database, jobs: Jobs, broker: Broker, headers: dict[str, Any]
) -> None:
    """The message is recorded with its bytes, and what waits behind it as well."""
    await _send(vhost, aio_pika.Message(b"\x00", headers=headers))
    await Ingest(pool, broker).run_once()
    first, second = await jobs.fetch("SELECT body, headers FROM dead_letters ORDER BY body")
    assert (first["body"], msgspec.json.decode(first["headers"])) == (b"\x00", UNREADABLE)
    assert second["body"] == b"after"


@pytest.mark.parametrize(("routing_key", "content_type"), [(LATIN, b"text/plain"), (b"tiny", LATIN)])
async def test_texts_that_are_not_utf_8_cost_nothing(
    vhost: str, pool: Database, jobs: Jobs, broker: Broker, routing_key: bytes, content_type: bytes
) -> None:
    """A routing key or a property that is not UTF-8 leaves the headers readable."""
    texts = [each.decode(errors="surrogateescape") for each in (routing_key, content_type)]
    await _send(vhost, aio_pika.Message(b"\x00", headers={"kept": 1}, content_type=texts[1]), texts[0])
    await Ingest(pool, broker).run_once()
    first, second = await jobs.fetch("SELECT body, headers FROM dead_letters ORDER BY body")
    assert (first["body"], msgspec.json.decode(first["headers"])["kept"]) == (b"\x00", 1)
    assert second["body"] == b"after"
