"""Say what a replay of dead letters would do, without doing it."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from chassis.postgres import Connection
from darkroom_contracts.api.replays import ReplayEdit
from darkroom_contracts.states import LetterKind, LetterStatus
from operations.errors import UnknownLetterError
from operations.replays import store
from operations.replays.edits import Bounds
from operations.replays.orphans import read_orphan, refuse_known
from operations.replays.outcome import ReplayRefusedError, Verdict
from operations.replays.records import JobLetter, OrphanLetter, Outlook, WebhookLetter
from operations.replays.redelivery import check_delivery
from operations.replays.replay import check_job, edited, refuse_edit_of_webhook, undecodable


class Prospect(msgspec.Struct, frozen=True):
    """What a replay would do with a dead letter."""

    letter_id: UUID
    job_id: UUID | None
    verdict: Verdict
    refusal: str | None = None
    """Why it would be refused, for people."""


async def foresee(
    connection: Connection, letter_ids: Sequence[UUID], bounds: Bounds, edit: ReplayEdit | None
) -> list[Prospect]:
    """Return what a replay would do with each of the dead letters that exist. Changes and locks nothing."""
    outlooks = await store.look_at_letters(connection, letter_ids)
    return [await _prospect(connection, outlook, bounds, edit) for outlook in outlooks]


async def _prospect(connection: Connection, outlook: Outlook, bounds: Bounds, edit: ReplayEdit | None) -> Prospect:
    try:
        await _check(connection, outlook, bounds, edit)
    except ReplayRefusedError as refused:
        return Prospect(outlook.id, outlook.job_id, refused.verdict, str(refused))
    except UnknownLetterError as error:
        return Prospect(outlook.id, outlook.job_id, Verdict.REMOVED, str(error))
    return Prospect(outlook.id, outlook.job_id, Verdict.WILL_REPLAY)


async def _check(connection: Connection, outlook: Outlook, bounds: Bounds, edit: ReplayEdit | None) -> None:
    """Raise what a replay would raise now."""
    match outlook.letter:
        case JobLetter() as letter:
            check_job(letter, outlook.job, outlook.status)
            if edit is not None:
                edited(outlook.columns, bounds, edit)
        case WebhookLetter() as letter:
            refuse_edit_of_webhook(edit)
            check_delivery(letter, outlook.delivery, outlook.status)
        case None if outlook.kind is LetterKind.UNDECODABLE:
            raise undecodable()
        case None:
            await _check_orphan(connection, outlook, bounds, edit)


async def _check_orphan(connection: Connection, outlook: Outlook, bounds: Bounds, edit: ReplayEdit | None) -> None:
    letter = await store.find_candidate(connection, outlook.id)
    if not isinstance(letter, OrphanLetter):
        raise UnknownLetterError(outlook.id)
    refuse_known(letter.job_id, outlook.job)
    await read_orphan(connection, letter, bounds, edit)
    if outlook.status is not LetterStatus.OPEN:
        raise ReplayRefusedError(Verdict.DISCARDED, "The dead letter is closed: it was discarded.")
