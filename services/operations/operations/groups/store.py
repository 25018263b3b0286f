"""The tables `dead_letter_groups`, `dead_letter_hours` and `dead_letter_deltas`."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from chassis.postgres import Connection, Row, load_queries
from darkroom_contracts.api.dead_letter_groups import HOURS, DeadLetterGroup, GroupNote
from darkroom_contracts.states import LetterKind
from operations.groups.records import Examined, Folded, FoldedGroup, Note, Position, PropertyCount, Sample
from operations.retention.records import Batch

queries = load_queries("operations.groups")

MOST_PENDING = 20_000
"""Most deltas that a read adds. Where more wait, `as_of` says up to when letters are counted."""
_STORED = tuple(
    name for name in DeadLetterGroup.__struct_fields__ if name not in {"kind", "open", "total", "hours", "note"}
)


async def lock_groups(connection: Connection) -> bool:
    """Take the lock of folding and pruning until the transaction ends. Return False while another holds it."""
    return bool(await queries.lock_groups(connection))


async def fold(connection: Connection, at_most: int) -> Folded:
    """Move the oldest deltas into the groups. The caller holds the lock."""
    taken = 0
    groups: dict[bool, list[FoldedGroup]] = {True: [], False: []}
    async for row in queries.fold(connection, at_most=at_most):
        if row["id"] is None:
            taken = row["taken"]
        else:
            groups[row["is_new"]].append(
                FoldedGroup(row["id"], row["kind"], row["model"], row["reason"], row["message"])
            )
    return Folded(taken, made=groups[True], closed=groups[False])


async def walk_groups(connection: Connection, after: Position, *, only_open: bool, at_most: int) -> list[Position]:
    """Return groups in the order of the list, as far as they are folded."""
    rows = queries.walk_groups(
        connection, is_open=after.is_open, seen_at=after.seen_at, id=after.id, lowest=only_open, at_most=at_most
    )
    return [Position(row["is_open"], row["last_seen_at"], row["id"]) async for row in rows]


async def read_groups(
    connection: Connection,
    ids: Sequence[UUID],
    *,
    with_pending: bool = False,
    status: str | None = None,
    kind: LetterKind | None = None,
    model: str | None = None,
    text: str | None = None,
    at_most: int = 1,
) -> list[tuple[DeadLetterGroup, datetime]]:
    """Return groups that match the filters, in the order of the list, each with the time up to which it is counted.

    With `with_pending` others are added, which no walk of this status finds before the folder has come.
    """
    rows = queries.read_groups(
        connection,
        ids=ids,
        with_pending=with_pending,
        status=status,
        kind=kind,
        model=model,
        text=text,
        at_most=at_most,
        at_most_pending=MOST_PENDING,
    )
    return [(_group(row), row["as_of"]) async for row in rows]


async def lock_group(connection: Connection, group_id: UUID) -> Note | None:
    """Lock a group, and return its note, whose fields are None if it has none; or None if it was not folded yet."""
    row = await queries.lock_group(connection, id=group_id)
    return None if row is None else Note(row["note"], row["note_by"], row["known_until"])


async def write_note(connection: Connection, group_id: UUID, note: Note) -> None:
    """Write a group's note, or remove it if it has no text."""
    await queries.write_note(
        connection, id=group_id, text=note.text, actor=note.by, known_until=note.known_until if note.text else None
    )


async def describe_letters(connection: Connection, group_id: UUID, at_most: int, hours: int) -> Examined:
    """Count the newest letters of a group by their properties: `at_most` letters, of `hours` different hours."""
    letters = 0
    found: list[datetime] = []
    properties: list[PropertyCount] = []
    async for row in queries.describe_letters(connection, id=group_id, at_most=at_most, hours=hours):
        if row["kind"] is None:
            letters, found = row["letters"], row["hours"] or []
        else:
            properties.append(
                PropertyCount(row["kind"], row["value"], row["letters"], row["first_seen_at"], row["last_seen_at"])
            )
    return Examined(letters, found, properties)


async def sample_attempts(
    connection: Connection, hours: Sequence[datetime], model: str | None, parts: int, at_most: int
) -> Sample:
    """Count attempts of a model that began in some hours by their properties. Each hour is sampled in `parts`."""
    rows = queries.sample_attempts(connection, hours=hours, model=model, parts=parts, at_most=at_most)
    counts = {(row["kind"], row["value"]): row["attempts"] async for row in rows}
    return Sample(counts.pop((None, None)), counts)


async def wait_for_groups(connection: Connection) -> None:
    """Take the lock of folding and pruning until the transaction ends, when it is free."""
    await queries.wait_for_groups(connection)


async def prune_groups(connection: Connection, after: UUID, at_most: int) -> tuple[Batch, UUID]:
    """Remove groups without letters among the next ones by id. Return what was done, and the last id.

    The caller holds the lock.
    """
    done = await queries.prune_groups(connection, after=after, at_most=at_most)
    return Batch(done["visited"], done["removed"]), done["last_id"] or after


async def prune_hours(connection: Connection, at_most: int, age: timedelta) -> int:
    """Remove counts of hours that are older. Return how many."""
    return int(await queries.prune_hours(connection, at_most=at_most, age=age))


def _group(row: Row) -> DeadLetterGroup:
    hours = [0] * HOURS
    for ago, opened in zip(row["hours"] or (), row["opened"] or (), strict=True):
        if 0 <= ago < HOURS:
            hours[HOURS - 1 - ago] += opened
    note = GroupNote(row["note"], row["note_by"], row["note_at"], row["known_until"]) if row["note"] else None
    stored = {name: row[name] for name in _STORED}
    return DeadLetterGroup(
        **stored, kind=LetterKind(row["kind"]), open=int(row["open"]), total=int(row["total"]), hours=hours, note=note
    )
