"""Dead letters and their groups as the API returns them."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from darkroom_contracts.api import JobError
from darkroom_contracts.api.dead_letter_groups import DeadLetterGroup, DeadLetterGroupDetail, Suspect
from darkroom_contracts.api.dead_letters import DeadLetter, DeadLetterDetail
from darkroom_contracts.states import LetterKind, LetterStatus
from tests.unit.client.answers import JOB_ID

LETTER_ID = UUID("01993b5c-0001-7000-8000-0000000000d1")
GROUP_ID = UUID("01993b5c-0002-7000-8000-0000000000a2")
AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
MESSAGE = "CUDA out of memory. Tried to allocate 20.00 MiB"


def letter(message: str = MESSAGE, **changes: Any) -> DeadLetter:
    """Return an open letter of a job, as lists have it."""
    return DeadLetter(**_letter(message) | changes)


def detail(message: str = MESSAGE, **changes: Any) -> DeadLetterDetail:
    """Return an open letter as it is shown by itself."""
    return DeadLetterDetail(**_letter(message) | {"attempts": [], "acts": []} | changes)


def group(**changes: Any) -> DeadLetterGroup:
    """Return a group of three open letters, as lists have it."""
    return DeadLetterGroup(**_GROUP | changes)


def group_detail(*suspects: Suspect, **changes: Any) -> DeadLetterGroupDetail:
    """Return the same group as it is shown by itself."""
    more = {"as_of": AT, "suspects": list(suspects), "examined": 3, "sampled": 100}
    return DeadLetterGroupDetail(**_GROUP | more | changes)


_GROUP: dict[str, Any] = {
    "id": GROUP_ID,
    "kind": LetterKind.JOB,
    "model": "tiny",
    "reason": "out_of_memory",
    "stage": "render",
    "message": MESSAGE,
    "fingerprint": "0f3a",
    "open": 3,
    "total": 1200,
    "first_seen_at": AT,
    "last_seen_at": AT,
    "hours": [0] * 22 + [1, 2],
}


def _letter(message: str) -> dict[str, Any]:
    return {
        "id": LETTER_ID,
        "kind": LetterKind.JOB,
        "status": LetterStatus.OPEN,
        "group_id": GROUP_ID,
        "tenant": "shop",
        "model": "tiny",
        "job_id": JOB_ID,
        "generation": 1,
        "worker": "gpu-1",
        "reason": "out_of_memory",
        "error": JobError("out_of_memory", message, retryable=False, stage="render"),
        "fingerprint": "0f3a",
        "returns": 0,
        "created_at": AT,
    }
