"""Record the acts of operators, in the transaction that carries them out."""

from enum import StrEnum
from typing import Any
from uuid import UUID

from chassis.postgres import Connection
from operations.audit import store


class Action(StrEnum):
    """What an operator did."""

    REPLAY = "dead_letter.replay"
    REVEAL = "dead_letter.reveal"
    DISCARD = "dead_letter.discard"
    RESTORE = "dead_letter.restore"
    DISCARD_MANY = "dead_letters.discard"
    EXPORT = "dead_letters.export"
    END_EXPORT = "dead_letters.export_end"
    GROUP_NOTE = "group.note"
    CREATE_REPLAY = "replay.create"
    START_REPLAY = "replay.start"
    PAUSE_REPLAY = "replay.pause"
    RESUME_REPLAY = "replay.resume"
    CANCEL_REPLAY = "replay.cancel"
    CREATE_KEY = "key.create"
    ROTATE_KEY = "key.rotate"
    REVOKE_KEY = "key.revoke"
    PAUSE = "model.pause"
    RESUME = "model.resume"
    DRAIN = "worker.drain"
    END_DRAIN = "worker.resume"


async def record(
    connection: Connection,
    actor: str,
    action: Action,
    subject: UUID | str,
    *,
    reason: str | None = None,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    """Record who acted (a key's id, or `command:<user>`), what was done, on what, why, and what it changed.

    The entry commits with the act or not at all. It holds no secrets and nothing that must be revealed.
    """
    await store.insert_entry(connection, actor, action, str(subject), reason=reason, before=before, after=after)
