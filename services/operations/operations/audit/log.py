"""Record the actions of operators, in the transaction that carries them out."""

from enum import StrEnum
from uuid import UUID

from chassis.postgres import Connection
from operations.audit import store


class Action(StrEnum):
    REPLAY = "dead_letter.replay"


async def record(connection: Connection, actor: str, action: Action, subject: UUID) -> None:
    """Record who acted, what the action was, and the id of what it acted on."""
    await store.insert_entry(connection, actor, action, subject)
