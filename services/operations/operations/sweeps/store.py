"""The sweeps' statements. Each acts on a bounded batch and skips rows that another process has locked."""

from datetime import datetime

from chassis.postgres import Connection, load_queries
from darkroom_contracts.api import JobError

queries = load_queries("operations.sweeps")


async def reap_jobs(connection: Connection, at_most: int) -> int:
    """Take back the jobs whose lease ran out. Return how many there were."""
    return int(await queries.reap_jobs(connection, at_most=at_most))


async def expire_jobs(connection: Connection, at_most: int, error: JobError) -> int:
    """Expire the queued jobs that are past `expires_at` or their deadline. Return how many there were."""
    return int(await queries.expire_jobs(connection, at_most=at_most, error=error))


async def republish_lost_jobs(connection: Connection, at_most: int) -> int:
    """Enqueue a message for each job whose own message is proved to be lost. Return how many there were."""
    return int(await queries.republish_lost_jobs(connection, at_most=at_most))


async def end_silent_sessions(connection: Connection, at_most: int) -> int:
    """End the sessions of workers that stopped sending heartbeats. Return how many there were."""
    return int(await queries.end_silent_sessions(connection, at_most=at_most))


async def server_started(connection: Connection) -> datetime:
    """Return when the database server started."""
    started: datetime = await queries.server_started(connection)
    return started
