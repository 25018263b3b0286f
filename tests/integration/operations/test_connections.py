"""The split of the process's database connections."""

from contextlib import AsyncExitStack

import asyncpg

from operations.connections import DESK_CONNECTIONS, Connections
from operations.settings import OperationsDatabaseSettings

SESSIONS = """
    SELECT application_name, count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name LIKE 'darkroom-operations%' GROUP BY 1
"""


async def test_no_request_waits_for_a_sweep(database: str, rows: asyncpg.Connection) -> None:
    """While sweeps hold all of theirs, requests and the readiness check have connections; all together stay bounded."""
    settings = OperationsDatabaseSettings(database_url=database)
    sweeps, requests = settings.database_connections - DESK_CONNECTIONS, DESK_CONNECTIONS - 1
    async with Connections(settings) as connections, AsyncExitStack() as held:
        for pool, number in ((connections.loops, sweeps), (connections.desk, requests)):
            for _ in range(number):
                connection = await held.enter_async_context(pool.connection())
                await connection.execute("SELECT 1")
        await connections.desk.check()
        sessions = dict(await rows.fetch(SESSIONS))
    assert sessions == {"darkroom-operations": sweeps, "darkroom-operations-desk": DESK_CONNECTIONS}
    assert sum(sessions.values()) == settings.database_connections
