"""Counts of waiting rows, each up to a bound. Every `connection` comes from `Database.index_walk`."""

from collections.abc import Sequence

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


async def count_open_letters(connection: Connection, kinds: Sequence[str], at_most: int) -> dict[str, int]:
    """Count the open dead letters of each kind, up to `at_most`."""
    rows = queries.count_open_letters(connection, kinds=kinds, at_most=at_most)
    return {row["kind"]: row["count"] async for row in rows}
