"""Dead letters for operators."""

from uuid import UUID

from chassis.postgres import Database
from operations.errors import NotFoundError
from operations.letters import store
from operations.letters.records import Letter, LetterKind, LetterStatus, LetterSummary


class UnknownLetterError(NotFoundError):
    """The dead letter does not exist."""

    def __init__(self, letter_id: UUID) -> None:
        super().__init__(f"There is no dead letter {letter_id}; `darkroom dead-letters list` shows all.")


async def list_letters(
    database: Database, kind: LetterKind | None, status: LetterStatus | None, at_most: int
) -> list[LetterSummary]:
    """Return the newest dead letters, those of every kind or status where it is None."""
    kinds = list(LetterKind) if kind is None else [kind]
    async with database.connection() as connection:
        return await store.list_letters(connection, kinds, status, at_most)


async def show_letter(database: Database, letter_id: UUID) -> Letter:
    """Return a dead letter with its message or delivery, and the attempts. Raises UnknownLetterError."""
    async with database.connection() as connection:
        letter = await store.find_letter(connection, letter_id)
    if letter is None:
        raise UnknownLetterError(letter_id)
    return letter
