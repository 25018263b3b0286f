"""Counts of waiting rows, each up to a bound, and the table `paused_models`.

The `connection` of a count comes from `Database.index_walk`.
"""

from collections.abc import Sequence
from datetime import datetime

from chassis.postgres import Connection, Row, load_queries
from darkroom_contracts.api.queues import Pause

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


async def count_letters_by_code(connection: Connection, at_most: int) -> dict[tuple[str, str, str], int]:
    """Count the open dead letters by (kind, model, code), in the `at_most` groups that were seen last."""
    rows = queries.count_letters_by_code(connection, at_most=at_most)
    return {(row["kind"], row["model"], row["code"]): row["count"] async for row in rows}


async def find_oldest(connection: Connection) -> dict[str, datetime]:
    """Return since when the oldest queued job of each model waits."""
    return {row["model"]: row["queued_at"] async for row in queries.find_oldest(connection)}


async def read_clock(connection: Connection) -> datetime:
    """Return the database's time."""
    now: datetime = await queries.read_clock(connection)
    return now


async def list_pauses(connection: Connection) -> dict[str, Pause]:
    """Return the pauses by model."""
    return {row["model"]: _pause(row) async for row in queries.list_pauses(connection)}


async def count_workers(connection: Connection) -> dict[str, int]:
    """Count the open sessions of workers by model."""
    return {row["model"]: row["workers"] async for row in queries.count_workers(connection)}


async def lock_pause(connection: Connection, model: str) -> Pause | None:
    """Lock the pause of a model until the transaction ends, and return it. None if the model is not paused."""
    row = await queries.lock_pause(connection, model=model)
    return _pause(row) if row else None


async def pause_model(connection: Connection, model: str, actor: str, reason: str) -> Pause:
    """Pause a model, or change who paused it and why."""
    return _pause(await queries.pause_model(connection, model=model, actor=actor, reason=reason))


async def resume_model(connection: Connection, model: str) -> Pause | None:
    """End the pause of a model, and return it. None if the model was not paused."""
    row = await queries.resume_model(connection, model=model)
    return _pause(row) if row else None


async def count_expiring(connection: Connection, model: str, at_most: int) -> tuple[int, int]:
    """Count the jobs that would expire within an hour and within a day, among the `at_most` oldest of a model."""
    row = await queries.count_expiring(connection, model=model, at_most=at_most)
    return row["within_hour"], row["within_day"]


def _pause(row: Row) -> Pause:
    return Pause(row["at"], row["by"], row["reason"])
