"""The endpoints of groups of dead letters."""

from starlette.requests import Request
from starlette.responses import Response

from chassis.auth import Caller
from chassis.decoding import BodyDecoder, decode_query
from chassis.http import Endpoint, read_body, reply
from darkroom_contracts.api import MAX_BODY_BYTES
from darkroom_contracts.api.dead_letter_groups import DeadLetterGroupQuery, GroupNoteRequest
from operations.endpoints.face import NO_STORE
from operations.groups.groups import Groups
from operations.groups.notes import WriteNote


class GroupEndpoints:
    """Answers the routes of groups."""

    def __init__(self, groups: Groups, note: WriteNote) -> None:
        self._groups = groups
        self._note = note
        self._decode_note = BodyDecoder(GroupNoteRequest)

    def by_name(self) -> dict[str, Endpoint]:
        """Return the endpoints by the names of their routes."""
        return {"list_groups": self.list, "get_group": self.get, "note_group": self.note}

    async def list(self, request: Request, _: Caller) -> Response:
        """Return a page of groups."""
        query = decode_query(request.query_params.multi_items(), DeadLetterGroupQuery)
        return reply(await self._groups.page(query), headers=NO_STORE)

    async def get(self, request: Request, _: Caller) -> Response:
        """Return a group with its suspects."""
        return reply(await self._groups.find(request.path_params["id"]), headers=NO_STORE)

    async def note(self, request: Request, caller: Caller) -> Response:
        """Write or remove a group's note."""
        noted = self._decode_note(await read_body(request, MAX_BODY_BYTES))
        return reply(await self._note(caller, request.path_params["id"], noted), headers=NO_STORE)
