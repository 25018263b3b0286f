"""Export dead letters as JSON lines, page by page, so that memory and transactions stay small."""

from collections.abc import AsyncGenerator

import msgspec

from chassis.postgres import Database
from darkroom_contracts.api import encode
from darkroom_contracts.api.dead_letters import MAX_LETTERS, DeadLetterExportQuery, DeadLetterQuery
from operations.desk.searching import Letters


class Export:
    """The use case of `export_dead_letters`."""

    def __init__(self, database: Database) -> None:
        self._letters = Letters(database)

    async def __call__(self, query: DeadLetterExportQuery) -> AsyncGenerator[bytes, None]:
        """Yield a line for each letter that matches, the newest first, several in a chunk.

        No connection is held between two chunks. Raises what `Letters.page` raises.
        """
        cursor: str | None = None
        wanted = msgspec.structs.asdict(query)
        while True:
            page = await self._letters.page(DeadLetterQuery(**wanted, limit=MAX_LETTERS, cursor=cursor))
            if page.dead_letters:
                yield b"".join(encode(letter) + b"\n" for letter in page.dead_letters)
            cursor = page.next_cursor
            if cursor is None:
                return
