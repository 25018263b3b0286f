"""Dead letters over HTTP."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Send

from chassis.auth import Caller
from chassis.decoding import BodyDecoder, decode_query
from chassis.http import Endpoint, read_body, reply
from chassis.postgres import Database
from darkroom_contracts.api import MAX_BODY_BYTES
from darkroom_contracts.api.dead_letters import (
    BulkDiscardRequest,
    DeadLetterExportQuery,
    DeadLetterQuery,
    DiscardRequest,
    RestoreRequest,
    RevealRequest,
)
from operations.desk.closing import Closing
from operations.desk.detail import ShowLetter
from operations.desk.exporting import Export
from operations.desk.revealing import RevealLetter
from operations.desk.searching import Letters
from operations.endpoints.face import NO_STORE

JSON_LINES = "application/x-ndjson"


class LetterEndpoints:
    """Answers the routes of dead letters."""

    def __init__(self, database: Database) -> None:
        self._letters = Letters(database)
        self._show = ShowLetter(database)
        self._reveal = RevealLetter(database)
        self._closing = Closing(database)
        self._export = Export(database)
        self._decode_reveal = BodyDecoder(RevealRequest)
        self._decode_discard = BodyDecoder(DiscardRequest)
        self._decode_restore = BodyDecoder(RestoreRequest)
        self._decode_bulk = BodyDecoder(BulkDiscardRequest)

    def by_name(self) -> dict[str, Endpoint]:
        """Return the endpoints by the names of their routes."""
        return {
            "list_dead_letters": self.list,
            "export_dead_letters": self.export,
            "get_dead_letter": self.get,
            "reveal_dead_letter": self.reveal,
            "discard_dead_letter": self.discard,
            "restore_dead_letter": self.restore,
            "discard_dead_letters": self.discard_all,
        }

    async def list(self, request: Request, caller: Caller) -> Response:
        """Return a page of dead letters."""
        query = decode_query(request.query_params.multi_items(), DeadLetterQuery)
        return reply(await self._letters.page(query), headers=NO_STORE)

    async def export(self, request: Request, caller: Caller) -> Response:
        """Stream dead letters as JSON lines. The first page is read before the status is sent."""
        query = decode_query(request.query_params.multi_items(), DeadLetterExportQuery)
        chunks = self._export(caller.key_id, query)
        return JsonLines(await anext(chunks, b""), chunks)

    async def get(self, request: Request, caller: Caller) -> Response:
        """Return a dead letter without its hidden parts."""
        return reply(await self._show(request.path_params["id"]), headers=NO_STORE)

    async def reveal(self, request: Request, caller: Caller) -> Response:
        """Return the hidden parts of a dead letter."""
        wanted = self._decode_reveal(await read_body(request, MAX_BODY_BYTES))
        return reply(await self._reveal(caller.key_id, request.path_params["id"], wanted), headers=NO_STORE)

    async def discard(self, request: Request, caller: Caller) -> Response:
        """Discard a dead letter."""
        wanted = self._decode_discard(await read_body(request, MAX_BODY_BYTES))
        letter = await self._closing.discard(caller.key_id, request.path_params["id"], wanted.reason)
        return reply(letter, headers=NO_STORE)

    async def restore(self, request: Request, caller: Caller) -> Response:
        """Open a discarded dead letter again."""
        wanted = self._decode_restore(await read_body(request, MAX_BODY_BYTES))
        letter = await self._closing.restore(caller.key_id, request.path_params["id"], wanted.reason)
        return reply(letter, headers=NO_STORE)

    async def discard_all(self, request: Request, caller: Caller) -> Response:
        """Discard the dead letters of a scope."""
        wanted = self._decode_bulk(await read_body(request, MAX_BODY_BYTES))
        return reply(await self._closing.discard_all(caller.key_id, wanted), headers=NO_STORE)


class JsonLines(StreamingResponse):
    """Streamed JSON lines. Their generator is closed when the response has ended, and when the client has gone."""

    def __init__(self, first: bytes, rest: AsyncGenerator[bytes, None]) -> None:
        super().__init__(_chain(first, rest), 200, NO_STORE, JSON_LINES)
        self._rest = rest

    async def stream_response(self, send: Send) -> None:
        async with aclosing(self._rest):
            await super().stream_response(send)


async def _chain(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    yield first
    async for chunk in rest:
        yield chunk
