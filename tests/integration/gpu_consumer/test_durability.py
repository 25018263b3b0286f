"""Which of a worker's writes wait for the disk."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest

from chassis.postgres import Connection, Database
from chassis.settings import DatabaseSettings
from contracts.messages.v1 import Render
from gpu_consumer.store import queries
from tests.integration.gpu_consumer.workshop import Workshop


@pytest.fixture
async def one_connection(workshop: Workshop) -> AsyncIterator[Database]:
    url = workshop.environment["DARKROOM_DATABASE_URL"]
    async with Database(DatabaseSettings(database_url=url, database_connections=1), "durability") as database:
        yield database


async def claim(connection: Connection, message: Render) -> None:
    taken = await queries.claim(
        connection,
        job_id=message.job_id,
        generation=message.generation,
        token=uuid4(),
        worker="anna",
        session=uuid4(),
        lease=timedelta(seconds=5),
        stamped_at=None,
        rendered=False,
    )
    assert taken is not None


async def test_a_claim_alone_does_not_wait(workshop: Workshop, one_connection: Database) -> None:
    """A claim's own transaction does not wait for the disk, and whatever the connection commits next does again."""
    message = await workshop.add_job()
    async with one_connection.transaction() as connection:
        await claim(connection, message)
        assert await connection.fetchval("SHOW synchronous_commit") == "off"
    async with one_connection.connection() as connection:
        assert await connection.fetchval("SHOW synchronous_commit") == "on"


async def test_a_claim_in_autocommit_leaves_nothing_behind(workshop: Workshop, one_connection: Database) -> None:
    """Claimed as a worker claims, without a transaction around it, the next commit waits for the disk."""
    message = await workshop.add_job()
    async with one_connection.connection() as connection:
        await claim(connection, message)
        assert await connection.fetchval("SHOW synchronous_commit") == "on"
