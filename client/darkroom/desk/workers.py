"""The workers, as operators see them."""

from darkroom.transport import Transport
from darkroom_contracts.api.workers import DrainReply, DrainRequest, Worker, WorkerList, WorkerQuery
from darkroom_contracts.routes.queues import DRAIN_WORKER, LIST_WORKERS, RESUME_WORKER


class Workers:
    """Workers, for an operator's key; an observer's key can look.

    Every method raises UnreachableError and ApiError. All requests can be repeated.
    """

    def __init__(self, api: Transport) -> None:
        self._api = api

    def list(self, *, worker: str | None = None, model: str | None = None) -> tuple[Worker, ...]:
        """Return the workers by name, those that are silent or lost included."""
        return self._api.call(LIST_WORKERS, WorkerList, query=WorkerQuery(worker=worker, model=model)).workers

    def drain(self, name: str, reason: str) -> DrainReply:
        """Let a worker finish its jobs and take no other, until it is resumed or its process ends."""
        return self._api.call(DRAIN_WORKER, DrainReply, path={"name": name}, body=DrainRequest(reason=reason))

    def resume(self, name: str) -> DrainReply:
        """Let a drained worker take jobs again, with its next heartbeat."""
        return self._api.call(RESUME_WORKER, DrainReply, path={"name": name})
