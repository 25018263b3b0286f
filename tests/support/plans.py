"""What a query costs, as Postgres itself tells it."""

import json
from collections.abc import AsyncIterator, Collection, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg

from chassis.postgres import load_queries

Plan = dict[str, Any]


async def explain(connection: asyncpg.Connection, sql: str, argument: str, *, generic: bool = False) -> Plan:
    """Return the executed plan's top node for one argument, given as a literal, with rows and buffers.

    Postgres plans a prepared statement for its arguments at first, and may turn to a generic plan later.
    """
    await connection.execute(f"SET plan_cache_mode = force_{'generic' if generic else 'custom'}_plan")
    await connection.execute(f"PREPARE explained AS {sql}")
    explained = f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) EXECUTE explained ({argument})"
    plan: Plan = json.loads(await connection.fetchval(explained))[0]["Plan"]
    await connection.execute("DEALLOCATE explained")
    return plan


def uuids(ids: Iterable[UUID]) -> str:
    """Return ids as a literal of SQL."""
    return f"'{{{','.join(map(str, ids))}}}'::uuid[]"


class KeptPlans:
    """Statements that a connection planned for all arguments, and keeps, as in `Database.index_walk`.

    Prepare them while the tables are empty: until autovacuum has seen them grow, the services run such plans.
    """

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._names: dict[str, str] = {}

    async def prepare(self, sql: str, argument: str) -> None:
        """Plan a statement, whose effect is undone. One that is planned already is left as it is."""
        if sql in self._names:
            return
        name = self._names[sql] = f"kept_{len(self._names)}"
        await self._connection.execute(f"PREPARE {name} AS {sql}")
        async with self._walk():
            await self._connection.execute(f"EXECUTE {name} ({argument})")

    async def explain(self, sql: str, argument: str) -> Plan:
        """Return the top node of the plan, executed for one argument and undone."""
        explained = f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) EXECUTE {self._names[sql]} ({argument})"
        async with self._walk():
            plan: Plan = json.loads(await self._connection.fetchval(explained))[0]["Plan"]
        return plan

    @asynccontextmanager
    async def _walk(self) -> AsyncIterator[None]:
        transaction = self._connection.transaction()
        await transaction.start()
        await load_queries("chassis").walk_indexes(self._connection)
        yield
        await transaction.rollback()


def nodes(plan: Plan) -> Iterator[Plan]:
    """Yield the node and all nodes below it."""
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def rows_looked_at(plan: Plan, tables: Collection[str] | None = None) -> float:
    """Rows that the scans found in tables or their indexes, filtered ones included; of `tables`, or of all."""
    scans = [node for node in nodes(plan) if "Relation Name" in node and "Scan" in node["Node Type"]]
    scans = [scan for scan in scans if tables is None or scan["Relation Name"] in tables]
    seen = ((scan["Actual Rows"] + scan.get("Rows Removed by Filter", 0)) * scan["Actual Loops"] for scan in scans)
    return float(sum(seen))


def tables_read_whole(plan: Plan) -> set[str]:
    """Tables of which every page is read."""
    return {node["Relation Name"] for node in nodes(plan) if node["Node Type"] == "Seq Scan"}


def buffers(plan: Plan) -> int:
    """Pages looked at, cached or not."""
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])


def scans_of(plan: Plan, index: str) -> list[Plan]:
    return [node for node in nodes(plan) if node.get("Index Name") == index]
