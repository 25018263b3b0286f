"""What a query costs, as Postgres itself tells it."""

import json
from collections.abc import Iterator
from typing import Any

import asyncpg

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


def nodes(plan: Plan) -> Iterator[Plan]:
    """Yield the node and all nodes below it."""
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def buffers(plan: Plan) -> int:
    """Pages looked at, cached or not."""
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])


def scans_of(plan: Plan, index: str) -> list[Plan]:
    return [node for node in nodes(plan) if node.get("Index Name") == index]
