"""Dead letters as operators look at them."""

from uuid import UUID

from chassis.postgres import Database
from operations import store
from operations.records import Letter, LetterSummary


class UnknownLetterError(Exception):
    """There is no such dead letter."""

    def __init__(self, letter_id: UUID) -> None:
        super().__init__(f"There is no dead letter {letter_id}; `darkroom dead-letters list` shows those there are.")


async def list_letters(database: Database, status: str | None, at_most: int) -> list[LetterSummary]:
    """The newest first; of any status where `status` is None."""
    async with database.connection() as connection:
        return await store.list_letters(connection, status, at_most)


async def show_letter(database: Database, letter_id: UUID) -> Letter:
    """Everything that is known of a dead letter. Raises UnknownLetterError."""
    async with database.connection() as connection:
        letter = await store.find_letter(connection, letter_id)
    if letter is None:
        raise UnknownLetterError(letter_id)
    return letter
