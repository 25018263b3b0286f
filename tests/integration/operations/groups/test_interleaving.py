import asyncio
import random
from contextlib import suppress
from uuid import UUID

import asyncpg
import pytest

from chassis.postgres import Database
from operations.alerts.alerts import Alerts
from operations.groups.folding import FoldGroups
from tests.integration.operations.groups.letters import add_letters, folded_counts, resolve, true_counts

ROUNDS = 60
RESTORE = "UPDATE dead_letters SET status = 'open', resolved_at = NULL WHERE id = $1"
OPEN = "SELECT count(*) FROM dead_letters WHERE status = 'open'"


class RolledBackError(Exception):
    """A writer changed its mind."""


class Writer:
    """Changes letters at random, in transactions of which some are rolled back."""

    def __init__(self, rows: asyncpg.Connection, letters: list[UUID], chance: random.Random) -> None:
        self._rows = rows
        self._letters = letters
        self._chance = chance

    async def run(self) -> None:
        for _ in range(ROUNDS):
            with suppress(RolledBackError, asyncpg.DeadlockDetectedError):
                async with self._rows.transaction():
                    await self._change()

    async def _change(self) -> None:
        for _ in range(self._chance.randint(1, 3)):
            await self._chance.choice(
                (self._insert, self._insert, self._resolve, self._resolve, self._restore, self._remove)
            )()
        if self._chance.random() < 0.2:
            raise RolledBackError

    async def _insert(self) -> None:
        message = self._chance.choice(("broke", "stopped", "vanished"))
        added = await add_letters(self._rows, self._chance.randint(1, 3), message)
        self._letters += [letter["id"] for letter in added]

    async def _resolve(self) -> None:
        if self._letters:
            await resolve(self._rows, self._letter(), self._chance.choice(("replayed", "discarded")))

    async def _restore(self) -> None:
        if self._letters:
            await self._rows.execute(RESTORE, self._letter())

    async def _remove(self) -> None:
        if self._letters:
            await self._rows.execute("DELETE FROM dead_letters WHERE id = $1", self._letter())

    def _letter(self) -> UUID:
        return self._chance.choice(self._letters)


async def keep_folding(folder: FoldGroups, stop: asyncio.Event) -> None:
    while not stop.is_set():
        await folder.run_once()
        await asyncio.sleep(0)
    while await folder.run_once():
        pass


@pytest.mark.parametrize("seed", range(3))
async def test_counts_are_exact_after_any_interleaving(
    pool: Database, database: str, rows: asyncpg.Connection, seed: int
) -> None:
    """Of three writers, of whose transactions some are rolled back, and of two folders with small batches."""
    chance, letters, written = random.Random(seed), list[UUID](), asyncio.Event()
    connections = [await asyncpg.connect(database) for _ in range(3)]
    folders = [FoldGroups(pool, Alerts(""), batch=7) for _ in range(2)]
    folding = [asyncio.create_task(keep_folding(folder, written)) for folder in folders]
    await asyncio.gather(*(Writer(connection, letters, chance).run() for connection in connections))
    written.set()
    await asyncio.gather(*folding)
    while await folders[0].run_once():
        pass
    counted = dict(await folded_counts(rows))
    assert counted.items() >= dict(await true_counts(rows)).items()
    assert sum(counted.values()) == await rows.fetchval(OPEN) > 0
    for connection in connections:
        await connection.close()
