"""A master key keeps its id: another key under the same id would change every secret without a sign."""

import asyncio
from contextlib import suppress

import structlog

from chassis.errors import TransientDatabaseError
from chassis.postgres import Database
from chassis.settings import SettingsError
from webhooks.registry import store
from webhooks.secrets import MasterKeys

log = structlog.get_logger()

RETRY_SECONDS = 2.0


class KeyGuard:
    """Compares the master keys with those that the database has seen, once."""

    def __init__(self, database: Database, keys: MasterKeys) -> None:
        self._database = database
        self._keys = keys
        self._done = False

    async def check(self) -> None:
        """Raise SettingsError if an id names another key than before. Does nothing while Postgres is away."""
        try:
            async with self._database.connection() as connection:
                changed = await store.note_master_keys(connection, self._keys.fingerprints)
        except TransientDatabaseError as error:
            log.warning("master keys not compared yet", error=str(error))
            return
        if changed:
            raise SettingsError(
                f"DARKROOM_WEBHOOKS_MASTER_KEYS: {', '.join(changed)} named another key before, from which the secrets"
                " of endpoints were derived. Set that key again, or give the new one an id of its own."
            )
        self._done = True

    async def run(self, stop: asyncio.Event) -> None:
        """Repeat a check that Postgres did not answer at the start. Raises SettingsError, which ends the service."""
        while not self._done and not stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), RETRY_SECONDS)
            await self.check()
        await stop.wait()
