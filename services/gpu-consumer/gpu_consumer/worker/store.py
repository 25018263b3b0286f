"""The worker's own rows: its session, its name, and the attempts it gives back. The only module that uses this
package's queries.

Every method raises TransientDatabaseError and may be called again with the same arguments.
"""

from uuid import UUID

from chassis.postgres import Connection, Database, load_queries
from gpu_consumer.protocol import Ready
from gpu_consumer.worker.orders import Orders

queries = load_queries("gpu_consumer.worker")


class SessionStore:
    """Records one life of a worker."""

    def __init__(self, database: Database, worker: str, session_id: UUID) -> None:
        self._database = database
        self._worker = worker
        self._session_id = session_id

    async def open_session(self, model: str) -> Orders:
        """Record this session and end those that the worker left open before. Return what operators want of it."""
        async with self._database.connection() as connection:
            return Orders(
                **await queries.open_session(connection, id=self._session_id, worker=self._worker, model=model)
            )

    async def describe_session(self, ready: Ready, gpu_id: str | None) -> None:
        """Record the device and the model that the session renders with."""
        async with self._database.connection() as connection:
            await queries.describe_session(
                connection,
                id=self._session_id,
                device=ready.device,
                gpu_id=gpu_id,
                model_revision=ready.model_revision,
                versions=ready.versions,
                memory_bytes=ready.memory_bytes,
            )

    async def beat_session(self, empty_age: float | None, empty_before_age: float | None) -> Orders | None:
        """Record that the session lives, and how many seconds ago its queue was empty.

        Return what operators want of it, or None when the database has no such session.
        """
        async with self._database.connection() as connection:
            row = await queries.beat_session(
                connection, id=self._session_id, empty_age=empty_age, empty_before_age=empty_before_age
            )
        return Orders(**row) if row else None

    async def check_jobs(self) -> None:
        """Raise TransientDatabaseError unless jobs can be written, as a claim does."""
        async with self._database.connection() as connection:
            await queries.write_no_job(connection)

    async def end_session(self) -> None:
        """Record the session's end."""
        async with self._database.connection() as connection:
            await queries.end_session(connection, id=self._session_id)

    async def reap_predecessor(self) -> int:
        """Return to the queue all jobs held under this worker's name, which the caller has locked. Return how many."""
        reaped = 0
        while True:
            async with self._database.connection() as connection:
                returned = int(await queries.reap(connection, worker=self._worker))
            if returned == 0:
                return reaped
            reaped += returned

    async def refund(self, tokens: list[UUID]) -> int:
        """Refund the attempts with these lease tokens. Return how many could be."""
        async with self._database.connection() as connection:
            return int(await queries.refund(connection, tokens=tokens))


# The functions below use a connection outside the pool, which holds the worker's name.


async def take_name(connection: Connection, worker: str) -> bool:
    """Lock the worker's name for as long as the connection lasts. Return False when another connection holds it."""
    return bool(await queries.take_name(connection, worker=worker))


async def cancel_channel(connection: Connection, worker: str) -> str:
    """Return the channel on which the worker is notified of cancels."""
    return str(await queries.cancel_channel(connection, worker=worker))


async def check_connection(connection: Connection) -> None:
    """Raise DatabaseUnavailableError unless the connection works."""
    await queries.still_there(connection)
