"""Counts of waiting rows, each up to a bound. Every `connection` comes from `Database.index_walk`."""

from chassis.postgres import Connection, load_queries

queries = load_queries("operations.queues")


async def count_jobs(connection: Connection, at_most: int) -> dict[tuple[str, str], int]:
    """Count queued and running jobs by (status, model), each up to `at_most`."""
    rows = queries.count_jobs(connection, at_most=at_most)
    return {(row["status"], row["model"]): row["count"] async for row in rows}


async def measure_outbox(connection: Connection, at_most: int) -> tuple[int, float]:
    """Count the outbox's rows up to `at_most`, and return the seconds since the most overdue one became due."""
    row = await queries.measure_outbox(connection, at_most=at_most)
    return row["depth"], max(0.0, row["age"])


async def count_open_letters(connection: Connection, at_most: int) -> dict[str, int]:
    """Count open dead letters by kind, up to `at_most` in total."""
    return {row["kind"]: row["count"] async for row in queries.count_open_letters(connection, at_most=at_most)}
