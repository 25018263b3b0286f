"""Rows of bulk replays."""

from uuid import UUID

import msgspec

from darkroom_contracts.api.dead_letters import LetterScope
from darkroom_contracts.api.replays import ItemState, ReplayEdit


class Plan(msgspec.Struct, frozen=True):
    """A replay that is being planned."""

    scope: LetterScope
    edit: ReplayEdit | None
    planned_to: UUID | None
    """The last letter that was looked at."""


class Due(msgspec.Struct, frozen=True):
    """A running replay with items to replay."""

    id: UUID
    seconds: float
    """Until its pace allows the next item; negative if it is late."""


class NextItem(msgspec.Struct, frozen=True):
    """The next dead letter of a running replay."""

    position: int
    letter_id: UUID
    edit: ReplayEdit | None
    ramp: tuple[int, ...] | None
    stage: int | None
    replayed: int
    """Items that were replayed so far, however they ended."""


class Handled(msgspec.Struct, frozen=True):
    """The outcome of an item."""

    state: ItemState
    generation: int | None = None
    error: str | None = None


class Followed(msgspec.Struct, frozen=True):
    """A replay with items that were replayed and have not ended, or with a stage that may end."""

    id: UUID
    ramp: tuple[int, ...] | None
    stage: int | None


class Visited(msgspec.Struct, frozen=True):
    """A step along the replayed items of a replay."""

    items: int
    last: int
    succeeded: int
    failed: int
