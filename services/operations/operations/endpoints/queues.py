"""The endpoints of queues and workers."""

from starlette.requests import Request
from starlette.responses import Response

from chassis.auth import Caller
from chassis.decoding import BodyDecoder, decode_query
from chassis.http import Endpoint, read_body, reply
from darkroom_contracts.api import MAX_BODY_BYTES
from darkroom_contracts.api.queues import PauseRequest, QueueQuery
from darkroom_contracts.api.workers import DrainRequest, WorkerQuery
from operations.endpoints.face import NO_STORE
from operations.queues.overview import Overview
from operations.queues.pausing import Pausing
from operations.workers.draining import Draining
from operations.workers.listing import Workers


class QueueEndpoints:
    """Answers the routes of queues and workers."""

    def __init__(self, overview: Overview, pausing: Pausing, workers: Workers, draining: Draining) -> None:
        self._overview = overview
        self._pausing = pausing
        self._workers = workers
        self._draining = draining
        self._decode_pause = BodyDecoder(PauseRequest)
        self._decode_drain = BodyDecoder(DrainRequest)

    def by_name(self) -> dict[str, Endpoint]:
        """Return the endpoints by the names of their routes."""
        return {
            "list_queues": self.list_queues,
            "pause_queue": self.pause,
            "resume_queue": self.resume,
            "list_workers": self.list_workers,
            "drain_worker": self.drain,
            "resume_worker": self.resume_worker,
        }

    async def list_queues(self, request: Request, caller: Caller) -> Response:
        """Return how the queues stand."""
        query = decode_query(request.query_params.multi_items(), QueueQuery)
        return reply(await self._overview.show(query.model), headers=NO_STORE)

    async def pause(self, request: Request, caller: Caller) -> Response:
        """Pause a model."""
        wanted = self._decode_pause(await read_body(request, MAX_BODY_BYTES))
        paused = await self._pausing.pause(caller.key_id, request.path_params["model"], wanted.reason)
        return reply(paused, headers=NO_STORE)

    async def resume(self, request: Request, caller: Caller) -> Response:
        """Resume a model."""
        return reply(await self._pausing.resume(caller.key_id, request.path_params["model"]), headers=NO_STORE)

    async def list_workers(self, request: Request, caller: Caller) -> Response:
        """Return the workers."""
        query = decode_query(request.query_params.multi_items(), WorkerQuery)
        return reply(await self._workers.show(query.worker, query.model), headers=NO_STORE)

    async def drain(self, request: Request, caller: Caller) -> Response:
        """Drain a worker."""
        wanted = self._decode_drain(await read_body(request, MAX_BODY_BYTES))
        drained = await self._draining.drain(caller.key_id, request.path_params["name"], wanted.reason)
        return reply(drained, headers=NO_STORE)

    async def resume_worker(self, request: Request, caller: Caller) -> Response:
        """Let a drained worker take jobs again."""
        return reply(await self._draining.resume(caller.key_id, request.path_params["name"]), headers=NO_STORE)
