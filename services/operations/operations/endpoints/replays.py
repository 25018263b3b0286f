"""The endpoints of replays."""

from starlette.requests import Request
from starlette.responses import Response

from chassis.auth import Caller
from chassis.decoding import BodyDecoder, decode_query
from chassis.http import Endpoint, read_body, reply
from chassis.postgres import Database
from darkroom_contracts.api import MAX_BODY_BYTES
from darkroom_contracts.api.replays import (
    BulkReplayQuery,
    BulkReplayRequest,
    ReplayActRequest,
    ReplayItemQuery,
    ReplayReply,
    ReplayRequest,
    ReplayStartRequest,
)
from darkroom_contracts.routes.replays import GET_REPLAY
from operations.bulk.control import Control
from operations.endpoints.face import NO_STORE
from operations.replays.edits import Bounds
from operations.replays.outcome import Redelivered, Replayed
from operations.replays.replay import replay


class ReplayEndpoints:
    """Answers the routes of replays."""

    def __init__(self, database: Database, bounds: Bounds) -> None:
        self._database = database
        self._bounds = bounds
        self._control = Control(database)
        self._decode_replay = BodyDecoder(ReplayRequest)
        self._decode_plan = BodyDecoder(BulkReplayRequest)
        self._decode_start = BodyDecoder(ReplayStartRequest)
        self._decode_act = BodyDecoder(ReplayActRequest)

    def by_name(self) -> dict[str, Endpoint]:
        """Return the endpoints by the names of their routes."""
        return {
            "replay_letter": self.replay_letter,
            "plan_replay": self.plan,
            "list_replays": self.list,
            "get_replay": self.get,
            "list_replay_items": self.items,
            "start_replay": self.start,
            "pause_replay": self.pause,
            "resume_replay": self.resume,
            "cancel_replay": self.cancel,
        }

    async def replay_letter(self, request: Request, caller: Caller) -> Response:
        """Replay a dead letter."""
        wanted = self._decode_replay(await read_body(request, MAX_BODY_BYTES))
        replayed = await replay(
            self._database,
            request.path_params["id"],
            caller.key_id,
            self._bounds.catalogue,
            self._bounds.webhook_targets,
            edit=wanted.edit,
            reason=wanted.reason,
        )
        return reply(_view(replayed), 202, NO_STORE)

    async def plan(self, request: Request, caller: Caller) -> Response:
        """Plan a bulk replay."""
        wanted = self._decode_plan(await read_body(request, MAX_BODY_BYTES))
        planned = await self._control.plan(caller.key_id, wanted)
        return reply(planned, 202, {"Location": GET_REPLAY.template.format(id=planned.id), **NO_STORE})

    async def list(self, request: Request, _: Caller) -> Response:
        """Return a page of bulk replays."""
        query = decode_query(request.query_params.multi_items(), BulkReplayQuery)
        return reply(await self._control.page(query), headers=NO_STORE)

    async def get(self, request: Request, _: Caller) -> Response:
        """Return a bulk replay."""
        return reply(await self._control.find(request.path_params["id"]), headers=NO_STORE)

    async def items(self, request: Request, _: Caller) -> Response:
        """Return a page of a bulk replay's dead letters."""
        query = decode_query(request.query_params.multi_items(), ReplayItemQuery)
        return reply(await self._control.items(request.path_params["id"], query), headers=NO_STORE)

    async def start(self, request: Request, caller: Caller) -> Response:
        """Start a planned bulk replay."""
        wanted = self._decode_start(await read_body(request, MAX_BODY_BYTES))
        started = await self._control.start(caller.key_id, request.path_params["id"], wanted.count)
        return reply(started, headers=NO_STORE)

    async def pause(self, request: Request, caller: Caller) -> Response:
        """Pause a bulk replay."""
        act = self._decode_act(await read_body(request, MAX_BODY_BYTES))
        paused = await self._control.pause(caller.key_id, request.path_params["id"], act.reason)
        return reply(paused, headers=NO_STORE)

    async def resume(self, request: Request, caller: Caller) -> Response:
        """Resume a bulk replay."""
        act = self._decode_act(await read_body(request, MAX_BODY_BYTES))
        resumed = await self._control.resume(caller.key_id, request.path_params["id"], act.reason)
        return reply(resumed, headers=NO_STORE)

    async def cancel(self, request: Request, caller: Caller) -> Response:
        """Cancel a bulk replay."""
        act = self._decode_act(await read_body(request, MAX_BODY_BYTES))
        canceled = await self._control.cancel(caller.key_id, request.path_params["id"], act.reason)
        return reply(canceled, headers=NO_STORE)


def _view(replayed: Replayed | Redelivered) -> ReplayReply:
    match replayed:
        case Replayed(letter_id, job_id, generation):
            return ReplayReply(dead_letter_id=letter_id, job_id=job_id, generation=generation)
        case Redelivered(letter_id, delivery_id, endpoint_paused):
            return ReplayReply(dead_letter_id=letter_id, delivery_id=delivery_id, endpoint_paused=endpoint_paused)
