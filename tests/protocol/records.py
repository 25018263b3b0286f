"""The real database, as the tests watch it and move its clocks."""

from importlib.resources import files
from typing import Self
from uuid import UUID

import msgspec

from chassis.postgres import Database, load_queries
from chassis.settings import DatabaseSettings
from tests.protocol.snapshot import Snapshot

MOST_ATTEMPTS = 2
"""Fewer than the product's default, so that jobs run out of them."""

_queries = load_queries("tests.protocol")
_decode = msgspec.json.Decoder(Snapshot).decode


class Records:
    """A migrated database with a ledger. Everything that the protocol writes is written by the product."""

    def __init__(self, url: str) -> None:
        # No test here loses power: what a commit promises but durability is the same.
        settings = DatabaseSettings(database_url=f"{url}?synchronous_commit=off", database_connections=8)
        self.database = Database(settings, "protocol-tests")
        self.tenant_id = UUID(int=0)

    async def __aenter__(self) -> Self:
        await self.database.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.database.__aexit__(*exc_info)

    async def prepare(self, sabotage: str = "") -> None:
        """Add the ledger, and `sabotage`, a test's change of the schema."""
        ledger = (files("tests.protocol") / "ledger.sql").read_text()
        async with self.database.transaction() as connection:
            await connection.execute(
                f"{ledger} ALTER TABLE jobs ALTER max_attempts SET DEFAULT {MOST_ATTEMPTS}; {sabotage}"
            )
            self.tenant_id = await _queries.add_tenant(connection)

    async def forget_everything(self) -> None:
        await self._execute("forget_everything")
        await self._execute("forget_purges")

    async def observe(self) -> Snapshot:
        async with self.database.connection() as connection:
            return _decode(await _queries.observe(connection))

    async def let(self, change: str, **values: UUID) -> None:
        """Change the database as one of the tests' own queries says."""
        await self._execute(change, **values)

    async def lose_claim(self, job_id: UUID) -> None:
        async with self.database.transaction() as connection:
            await _queries.without_triggers(connection)
            await _queries.lose_claim(connection, job_id=job_id)

    async def _execute(self, query: str, **values: UUID) -> None:
        async with self.database.connection() as connection:
            await getattr(_queries, query)(connection, **values)
