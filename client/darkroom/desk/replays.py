"""Replays of dead letters: of one, and of many in bulk."""

from collections.abc import Callable, Collection, Iterator
from uuid import UUID

from msgspec.structs import replace

from darkroom.errors import ApiError, DarkroomError, UnreachableError
from darkroom.transport import Transport
from darkroom_contracts.api.dead_letters import LetterScope
from darkroom_contracts.api.replays import (
    MAX_REPLAYS,
    BulkReplay,
    BulkReplayList,
    BulkReplayQuery,
    BulkReplayRequest,
    ItemState,
    Ramp,
    ReplayActRequest,
    ReplayEdit,
    ReplayItem,
    ReplayItemList,
    ReplayItemQuery,
    ReplayReply,
    ReplayRequest,
    ReplayStartRequest,
    ReplayStatus,
)
from darkroom_contracts.routes.replays import (
    CANCEL_REPLAY,
    GET_REPLAY,
    LIST_REPLAY_ITEMS,
    LIST_REPLAYS,
    PAUSE_REPLAY,
    PLAN_REPLAY,
    REPLAY_LETTER,
    RESUME_REPLAY,
    START_REPLAY,
)
from darkroom_contracts.routes.route import Route

POLL_SECONDS = 0.5
STARTS = 3
"""Most requests that start a replay, each after a look at what the one before did."""
STILL = frozenset({ReplayStatus.PAUSED, ReplayStatus.FINISHED, ReplayStatus.CANCELED})
"""A replay with one of these replays nothing, unless an operator resumes it."""
_AWAY = range(500, 600)


class Replays:
    """Replays of dead letters, for an operator's key. An observer's key can look.

    A request that replays, plans or starts is repeated only where it is certain that it had no effect: a second one
    would be refused, or be a second plan. Every method raises UnreachableError and ApiError.
    """

    def __init__(self, api: Transport) -> None:
        self._api = api

    def replay_letter(
        self, letter_id: UUID, *, edit: ReplayEdit | None = None, reason: str | None = None
    ) -> ReplayReply:
        """Replay one open dead letter now: queue its job again, or send its webhook again."""
        request = ReplayRequest(edit=edit, reason=reason)
        return self._api.call(REPLAY_LETTER, ReplayReply, path={"id": letter_id}, body=request, once=True)

    def plan(
        self,
        scope: LetterScope,
        *,
        edit: ReplayEdit | None = None,
        pace: float | None = None,
        ramp: Ramp | None = None,
        reason: str | None = None,
    ) -> BulkReplay:
        """Plan a bulk replay. `wait` for its plan, then `start` it; until then nothing is replayed.

        `pace` is in dead letters a second; a `ramp` is its alternative.
        """
        request = BulkReplayRequest(scope=scope, edit=edit, pace=pace, ramp=ramp, reason=reason)
        return self._api.call(PLAN_REPLAY, BulkReplay, body=request, once=True)

    def start(self, replay_id: UUID, count: int) -> BulkReplay:
        """Start a planned replay of `count` dead letters, its `items.pending`.

        Where a response is lost, what it did is looked up, so a replay that this request started is returned.
        """
        is_unknown = False
        for starts_left in reversed(range(STARTS)):
            try:
                return self._act(START_REPLAY, replay_id, ReplayStartRequest(count), once=True)
            except (ApiError, UnreachableError) as error:
                is_unknown = is_unknown or is_outcome_unknown(error)
                if not is_unknown:
                    raise
                found = self.get(replay_id)
                if found.started_at is not None:
                    return found
                if not starts_left or found.status != ReplayStatus.PLANNED:
                    raise
                self._api.sleep(POLL_SECONDS)
        raise AssertionError("the last start returns or raises")

    def pause(self, replay_id: UUID, reason: str | None = None) -> BulkReplay:
        """Pause a running replay at once. What it has replayed continues. A paused one stays as it is."""
        return self._act(PAUSE_REPLAY, replay_id, ReplayActRequest(reason))

    def resume(self, replay_id: UUID, reason: str | None = None) -> BulkReplay:
        """Resume a paused replay. The time of a ramp's stage begins again. A running one stays as it is."""
        return self._act(RESUME_REPLAY, replay_id, ReplayActRequest(reason))

    def cancel(self, replay_id: UUID, reason: str | None = None) -> BulkReplay:
        """Cancel a replay at once. What it has replayed continues. A canceled one stays as it is."""
        return self._act(CANCEL_REPLAY, replay_id, ReplayActRequest(reason))

    def get(self, replay_id: UUID) -> BulkReplay:
        """Return a bulk replay."""
        return self._api.call(GET_REPLAY, BulkReplay, path={"id": replay_id})

    def list(self, status: ReplayStatus | None = None) -> Iterator[BulkReplay]:
        """Yield the bulk replays, the newest first. Pages are requested as they are needed."""
        query = BulkReplayQuery(status=status, limit=MAX_REPLAYS)
        for page in self._api.pages(LIST_REPLAYS, BulkReplayList, query):
            yield from page.replays

    def items(
        self, replay_id: UUID, state: ItemState | None = None, *, page_size: int = MAX_REPLAYS
    ) -> Iterator[ReplayItem]:
        """Yield the dead letters of a replay in their order. Pages are requested as they are needed."""
        query: ReplayItemQuery | None = ReplayItemQuery(state=state, limit=page_size)
        while query:
            page = self._api.call(LIST_REPLAY_ITEMS, ReplayItemList, path={"id": replay_id}, query=query)
            yield from page.items
            query = None if page.next_after is None else replace(query, after=page.next_after)

    def wait(
        self,
        replay_id: UUID,
        until: Collection[ReplayStatus] = STILL,
        *,
        on_look: Callable[[BulkReplay], None] | None = None,
    ) -> BulkReplay:
        """Poll until the replay has one of the statuses, and return it. `on_look` is called after every poll."""
        while True:
            replay = self.get(replay_id)
            if on_look:
                on_look(replay)
            if replay.status in until:
                return replay
            self._api.sleep(POLL_SECONDS)

    def _act(self, route: Route, replay_id: UUID, body: object, *, once: bool = False) -> BulkReplay:
        return self._api.call(route, BulkReplay, path={"id": replay_id}, body=body, once=once)


def is_outcome_unknown(error: DarkroomError) -> bool:
    """Return whether the request may have been carried out: the response was lost, or is not the API's refusal."""
    return isinstance(error, UnreachableError) or (isinstance(error, ApiError) and error.problem.status in _AWAY)
