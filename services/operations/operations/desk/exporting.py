"""Export dead letters as JSON lines, page by page, so that memory and transactions stay small."""

from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID, uuid4

import msgspec
from anyio import CancelScope

from chassis.postgres import Database
from darkroom_contracts.api import encode
from darkroom_contracts.api.dead_letters import MAX_LETTERS, DeadLetterExportQuery, DeadLetterList, DeadLetterQuery
from operations.audit import log as audit
from operations.audit.log import Action
from operations.desk.searching import Letters


class Export:
    """The use case of `export_dead_letters`.

    The audit log has an entry before the first line is sent, and one at the end: the process may be killed between.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._letters = Letters(database)

    async def __call__(self, actor: str, query: DeadLetterExportQuery) -> AsyncGenerator[bytes, None]:
        """Yield a line for each letter that matches, the newest first, several in a chunk.

        No connection is held between two chunks. The audit log counts the lines that were yielded. Raises what
        `Letters.page` raises.
        """
        page = await self._page(query, None)
        export_id, lines, complete = uuid4(), 0, False
        await self._record(actor, Action.EXPORT, export_id, {"filter": _given(query)})
        try:
            while not complete:
                lines += len(page.dead_letters)
                if page.dead_letters:
                    yield b"".join(encode(letter) + b"\n" for letter in page.dead_letters)
                if page.next_cursor is None:
                    complete = True
                else:
                    page = await self._page(query, page.next_cursor)
        finally:
            with CancelScope(shield=True):  # a client that has gone cancels the request
                await self._record(actor, Action.END_EXPORT, export_id, {"lines": lines, "complete": complete})

    async def _page(self, query: DeadLetterExportQuery, cursor: str | None) -> DeadLetterList:
        wanted = msgspec.structs.asdict(query)
        return await self._letters.page(DeadLetterQuery(**wanted, limit=MAX_LETTERS, cursor=cursor))

    async def _record(self, actor: str, action: Action, export_id: UUID, after: dict[str, Any]) -> None:
        async with self._database.transaction() as connection:
            await audit.record(connection, actor, action, export_id, after=after)


def _given(query: DeadLetterExportQuery) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(query)
    return {name: value for name, value in fields.items() if value is not None}
