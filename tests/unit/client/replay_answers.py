"""Bulk replays as the API returns them."""

from typing import Any
from uuid import UUID

from darkroom_contracts.api.dead_letters import LetterScope
from darkroom_contracts.api.replays import (
    WILL_REPLAY,
    BulkReplay,
    ItemCounts,
    ItemState,
    Ramp,
    ReplayItem,
    ReplayItemList,
    ReplayStatus,
)
from tests.unit.client.answers import AT, JOB_ID
from tests.unit.client.letter_answers import LETTER_ID

REPLAY_ID = UUID("01993b5c-0003-7000-8000-0000000000b3")
PATH = f"/v1/operations/replays/{REPLAY_ID}"
RAMP = Ramp(stages=(1, 2, 5))


def replay(status: str = "planned", *, left_out: dict[str, int] | None = None, **changes: Any) -> BulkReplay:
    """Return a replay of 42 dead letters, with others left out by their verdicts. `pending` are its counts."""
    others = left_out or {}
    items = {"pending": 42, "replayed": 0, "refused": 0, "succeeded": 0, "failed": 0}
    items |= {state: changes.pop(state) for state in items.keys() & changes.keys()}
    items["refused"] += sum(others.values())
    total = sum(items.values()) - sum(others.values())
    is_started = status not in ("planning", "planned") and "started_at" not in changes
    values: dict[str, Any] = {
        "id": REPLAY_ID,
        "status": ReplayStatus(status),
        "scope": LetterScope(model="tiny"),
        "items": ItemCounts(**items),
        "verdicts": {**({WILL_REPLAY: total} if total else {}), **others},
        "created_by": "oP3rat0r0001",
        "created_at": AT,
        **({"started_at": AT} if is_started else {}),
    }
    return BulkReplay(**values | changes)


def finished(**changes: Any) -> BulkReplay:
    """Return a finished replay of 42 dead letters, all of which ended well unless `changes` says otherwise."""
    bad = changes.get("failed", 0) + changes.get("refused", 0)
    return replay("finished", **{"pending": 0, "succeeded": 42 - bad, "finished_at": AT} | changes)


def item(state: str = "pending", position: int = 1, verdict: str = WILL_REPLAY, **changes: Any) -> ReplayItem:
    values: dict[str, Any] = {
        "position": position,
        "letter_id": LETTER_ID,
        "verdict": verdict,
        "state": ItemState(state),
        "job_id": JOB_ID,
        "at": AT,
    }
    return ReplayItem(**values | changes)


def items(*shown: ReplayItem, next_after: int | None = None) -> ReplayItemList:
    return ReplayItemList(list(shown), next_after)
