"""When API keys were last used: noted in memory by each request, written in the background."""

from cachetools import TTLCache

from chassis.loops import Loop
from chassis.postgres import Database, load_queries

NOTED_SECONDS = 60.0
"""Least time between two writes of a key, here and by the statement, which other processes share."""
MOST_NOTED = 10_000
"""Most keys to keep in memory. Beyond it a use is forgotten; the key's next use is noted again."""
BATCH = 500

_queries = load_queries("chassis")


class KeyUse(Loop):
    """Writes `last_used_at` of the keys that were sent since the last round, expired ones included.

    No request waits for it, and none is refused when it fails.
    """

    name = "key-use"
    interval = 5.0

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database
        self._used: dict[str, None] = {}
        """Keys to write, in the order of their use."""
        self._written: TTLCache[str, None] = TTLCache(MOST_NOTED, NOTED_SECONDS)

    def note(self, key_id: str) -> None:
        """Note that a key was used now."""
        if key_id not in self._written and len(self._used) < MOST_NOTED:
            self._used[key_id] = None

    async def run_once(self) -> bool:
        batch = list(self._used)[:BATCH]
        if not batch:
            return False
        async with self._database.connection() as connection:
            await _queries.note_use(connection, ids=batch)
        for key_id in batch:
            self._written[key_id] = None
            del self._used[key_id]
        return bool(self._used)
