"""The queues of the models, as operators see them."""

from darkroom.transport import Transport
from darkroom_contracts.api.queues import PauseReply, PauseRequest, QueueList, QueueQuery, ResumeReply
from darkroom_contracts.routes.queues import LIST_QUEUES, PAUSE_QUEUE, RESUME_QUEUE


class Queues:
    """Queues, for an operator's key; an observer's key can look.

    Every method raises UnreachableError and ApiError. All requests can be repeated.
    """

    def __init__(self, api: Transport) -> None:
        self._api = api

    def list(self, model: str | None = None) -> QueueList:
        """Return how the queues stand, or that of one model; counts are from a sample of the last seconds."""
        return self._api.call(LIST_QUEUES, QueueList, query=QueueQuery(model=model))

    def pause(self, model: str, reason: str) -> PauseReply:
        """Let the model's workers finish their jobs and take no other. Jobs are accepted and wait."""
        return self._api.call(PAUSE_QUEUE, PauseReply, path={"model": model}, body=PauseRequest(reason=reason))

    def resume(self, model: str) -> ResumeReply:
        """Let the model's workers take jobs again, with their next heartbeat."""
        return self._api.call(RESUME_QUEUE, ResumeReply, path={"model": model})
