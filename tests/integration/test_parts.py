"""The parts that every other test stands on."""

import asyncio
import sys
from pathlib import Path
from urllib.parse import urlsplit

import aio_pika
import asyncpg
import httpx2
import psutil
import pytest

from tests.support.endpoints import Bucket
from tests.support.fixtures import BrokerFactory, DatabaseFactory, ObjectStoreFactory
from tests.support.parts_host import Parts
from tests.support.servers import SharedServer
from tests.support.services import Services
from tests.support.waiting import eventually


async def test_a_fresh_database_is_migrated(database: str) -> None:
    """The database that a test gets has the current schema."""
    connection = await asyncpg.connect(database)
    try:
        assert await connection.fetchval("SELECT count(*) FROM jobs") == 0
    finally:
        await connection.close()


async def test_databases_are_apart(services: Services) -> None:
    """What one test writes, another never sees."""
    first, second = await services.database.create_database(), await services.database.create_database()
    try:
        assert urlsplit(first).path != urlsplit(second).path
        connection = await asyncpg.connect(first)
        await connection.execute("CREATE TABLE mine ()")
        await connection.close()
        connection = await asyncpg.connect(second)
        assert await connection.fetchval("SELECT to_regclass('mine')") is None
        await connection.close()
    finally:
        await services.database.drop_database(first)
        await services.database.drop_database(second)


async def test_a_database_is_dropped_under_open_connections(services: Services) -> None:
    """A test that forgets its pool leaves no database behind."""
    url = await services.database.create_database(migrated=False)
    connection = await asyncpg.connect(url)
    await services.database.drop_database(url)
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(url)
    connection.terminate()


async def test_postgres_flushes_its_commits(database: str) -> None:
    """Durability is not switched off for the tests' convenience."""
    connection = await asyncpg.connect(database)
    try:
        assert await connection.fetchval("SHOW fsync") == "on"
        assert await connection.fetchval("SHOW synchronous_commit") == "on"
    finally:
        await connection.close()


async def test_a_dropped_database_goes_in_the_background(parts: Parts, services: Services) -> None:
    """What a test gives back is dropped soon, though nobody waits for it."""
    url = await parts.request("take_database")
    await parts.request("drop_database", url)
    name = urlsplit(url).path.lstrip("/")
    connection = await asyncpg.connect(services.database.url)

    async def gone() -> bool:
        return not await connection.fetchval("SELECT count(*) FROM pg_database WHERE datname = $1", name)

    await eventually(gone)
    await connection.close()


async def test_all_processes_share_the_parts(parts: Parts, services: Services) -> None:
    """Another process that asks this run's host is shown the same servers."""
    program = f"""
import asyncio, pathlib
from tests.support.parts_host import Parts
print(asyncio.run(Parts(pathlib.Path({str(parts.address)!r})).request("broker")).amqp_url)
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert output.decode().strip() == services.broker.amqp_url


async def test_a_shared_part_is_not_stopped(services: Services) -> None:
    """A test that tries to stop a shared part gets an error that names the private ones."""
    with pytest.raises(RuntimeError, match="private"):
        await services.object_store.stop()


async def test_a_failed_request_is_raised(parts: Parts) -> None:
    """What a request meets in the host's thread is raised where it was made."""
    with pytest.raises(AttributeError, match="take_nothing"):
        await parts.request("take_nothing")


async def test_a_fresh_vhost_carries_messages(vhost: str) -> None:
    """A test may declare queues in its vhost and gets back what it publishes."""
    connection = await aio_pika.connect(vhost)
    async with connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("letters", durable=True, arguments={"x-queue-type": "quorum"})
        await channel.default_exchange.publish(aio_pika.Message(b"hello"), routing_key=queue.name)
        message = await queue.get(timeout=5)
        assert message is not None
        assert message.body == b"hello"
        await message.ack()


async def test_a_deleted_vhost_is_gone(services: Services) -> None:
    """Teardown takes the vhost with all its queues."""
    url = await services.broker.create_vhost()
    await services.broker.delete_vhost(url)
    async with services.broker.management() as http:
        answer = await http.get(f"/api/vhosts/{urlsplit(url).path.lstrip('/')}")
    assert answer.status_code == 404


async def test_a_fresh_bucket_keeps_objects(bucket: Bucket, tmp_path: Path) -> None:
    """A test may store objects in its bucket and gets them back by presigned URL, but not without a signature."""
    file = tmp_path / "note.txt"
    file.write_text("developed")
    client = bucket.client()
    await asyncio.to_thread(client.fput_object, bucket.name, "jobs/note.txt", str(file))
    url = client.presigned_get_object(bucket.name, "jobs/note.txt")
    async with httpx2.AsyncClient(trust_env=False) as http:
        assert (await http.get(url)).text == "developed"
        assert (await http.get(url.split("?")[0])).is_client_error
    assert bucket.object_keys() == ["jobs/note.txt"]


@pytest.mark.chaos
async def test_a_private_postgres_keeps_its_data_over_a_power_cut(private_postgres: DatabaseFactory) -> None:
    """A private server may be killed; after its restart the committed rows are there, on the same URL."""
    server = await private_postgres()
    url = await server.create_database(migrated=False)
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE TABLE kept AS SELECT 1 AS value")
    await server.kill()
    with pytest.raises((OSError, asyncpg.PostgresError)):
        await asyncpg.connect(url)
    connection.terminate()
    await server.start()
    connection = await asyncpg.connect(url)
    assert await connection.fetchval("SELECT value FROM kept") == 1
    await connection.close()


@pytest.mark.chaos
@pytest.mark.long
async def test_a_private_rabbitmq_keeps_its_messages_over_a_restart(private_rabbitmq: BrokerFactory) -> None:
    """A private node may be restarted; what was confirmed before is delivered after, on the same URL."""
    broker = await private_rabbitmq()
    vhost = await broker.create_vhost()
    async with await aio_pika.connect(vhost) as connection:
        channel = await connection.channel()
        await channel.declare_queue("letters", durable=True, arguments={"x-queue-type": "quorum"})
        persistent = aio_pika.Message(b"kept", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(persistent, routing_key="letters")
    await broker.restart()
    async with await aio_pika.connect(vhost) as connection:
        queue = await (await connection.channel()).get_queue("letters")
        message = await queue.get(timeout=5)
        assert message is not None
        assert message.body == b"kept"
        await message.ack()


@pytest.mark.chaos
async def test_a_private_s3_keeps_its_objects_over_an_outage(private_s3: ObjectStoreFactory, tmp_path: Path) -> None:
    """A private endpoint may be away for a while; its objects are there when it is back."""
    store = await private_s3()
    bucket = await store.create_bucket()
    file = tmp_path / "note.txt"
    file.write_text("kept")
    await asyncio.to_thread(bucket.client().fput_object, bucket.name, "note.txt", str(file))
    await store.stop()
    async with httpx2.AsyncClient(trust_env=False) as http:
        with pytest.raises(httpx2.ConnectError):
            await http.get(store.endpoint)
    await store.start()
    assert bucket.object_keys() == ["note.txt"]


async def test_every_local_part_listens_on_loopback_only(services: Services) -> None:
    """No port of a part, RabbitMQ's distribution and epmd included, is open to other machines."""
    servers = [part.server for part in (services.broker, services.database, services.object_store)]
    pids = {pid for server in servers if isinstance(server, SharedServer) for pid in server.pids}
    addresses = {
        connection.laddr.ip
        for pid in pids
        for connection in psutil.Process(pid).net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }
    if not pids:
        pytest.skip("no part of this run was started from local binaries")
    assert addresses <= {"127.0.0.1", "::1"}
