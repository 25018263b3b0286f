"""The outcomes of a replay."""

from enum import StrEnum
from uuid import UUID

import msgspec

from darkroom_contracts.api import replays
from darkroom_contracts.errors import ApiError
from operations.errors import ConflictError


class Verdict(StrEnum):
    """Whether a dead letter can be replayed, or why not, in a few words."""

    WILL_REPLAY = replays.WILL_REPLAY
    CAME_BACK = "came back twice before"
    """Left out of bulk replays unless its id is named."""
    ORPHAN = "orphan"
    """Left out of bulk replays unless its kind or its id is named."""
    DISCARDED = "discarded"
    REPLAYED = "replayed already"
    MOVED_ON = "job moved on"
    DELETED = "job deleted"
    REMOVED = "removed because of its age"
    SUPERSEDED = "a later generation exists"
    UNDECODABLE = "undecodable"
    UNFIT_MESSAGE = "message does not fit"
    UNFIT_EDIT = "edit does not fit"
    ENDPOINT_CLOSED = "endpoint receives nothing"
    BUSY = "busy"
    """Something that ends by itself is under way; a later replay succeeds."""


class Replayed(msgspec.Struct, frozen=True):
    """The job is queued again."""

    dead_letter_id: UUID
    job_id: UUID
    generation: int
    """The job's new generation."""


class Redelivered(msgspec.Struct, frozen=True):
    """The webhook delivery is due again, under its old id, and its schedule begins again."""

    dead_letter_id: UUID
    delivery_id: UUID
    endpoint_paused: bool
    """Whether it waits until its endpoint is resumed."""


class ReplayRefusedError(ConflictError):
    """The dead letter can't be replayed, or not again. Nothing was changed."""

    def __init__(self, verdict: Verdict, message: str) -> None:
        super().__init__(message)
        self.verdict = verdict


class UnfitEditError(ReplayRefusedError):
    """The edited job could not be submitted today."""

    code = ApiError.INVALID_REQUEST

    def __init__(self, message: str) -> None:
        super().__init__(Verdict.UNFIT_EDIT, message)
