"""The append-only table `audit_log`."""

from uuid import UUID

from chassis.postgres import Connection, load_queries

queries = load_queries("operations.audit")


async def insert_entry(connection: Connection, actor: str, action: str, subject: UUID) -> None:
    """Append an entry."""
    await queries.insert_entry(connection, actor=actor, action=action, subject=str(subject))
