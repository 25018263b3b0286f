"""Groups of dead letters as commands print them for people."""

from collections.abc import Iterator, Sequence

import click

from darkroom.console import print_fields, printable, utc
from darkroom.desk_commands.rows import Row, age, is_wide, one_line, print_more, print_rows, shortened, width
from darkroom.desk_commands.sparkline import sparkline
from darkroom_contracts.api.dead_letter_groups import (
    DeadLetterGroup,
    DeadLetterGroupDetail,
    DeadLetterGroupQuery,
    GroupNote,
    Suspect,
)
from darkroom_contracts.states import LetterKind

STRIKING = 2.0
"""A suspect is named in a sentence where its share of the failures is this many times its usual one."""
MILLION = 1_000_000
VALUE_COLUMNS = 16
"""Most columns of a suspect's value in its row."""
_SUSPECT_WORDS = {"gpu": "GPU", "model_revision": "model revision"}


def print_groups(groups: Sequence[DeadLetterGroup], query: DeadLetterGroupQuery, *, more: bool) -> None:
    """Print a list of groups, or a sentence if there are none. `more` says that others match too."""
    if not groups:
        click.echo(_none_found(query))
        return
    wide = is_wide()
    columns = ("group", "open", *(("total",) if wide else ()), "last 24 hours", "newest")
    print_rows(
        (*columns, *(("kind", "model") if wide else ())), (_row(group, wide) for group in groups), text="failure"
    )
    if more:
        print_more(f"{len(groups)} groups")


def print_group(group: DeadLetterGroupDetail) -> None:
    """Print a group: what failed, how often, what its letters have in common, its note, and what can be done."""
    click.secho(one_line(group.message or group.reason), bold=True)
    if (suspect := _prime(group)) is not None:
        click.echo(_accusation(suspect, group.examined))
    click.echo()
    print_fields(_fields(group))
    if group.suspects:
        click.echo()
        columns = ("suspect", "value", "failures", "usually", "first seen", "last seen")
        print_rows(columns, (_suspect(each, group.examined) for each in group.suspects), text="", whole=True)
        click.echo(f"{_count(group.examined)} compared with {group.sampled:,} attempts of the same hours.")
    for hint in _hints(group):
        click.echo(hint, err=True)


def print_note(group: DeadLetterGroup) -> None:
    """Print the group's note, or that it has none."""
    if group.note is None:
        click.echo(f"Group {group.id} has no note.")
    else:
        click.echo(printable(f"{group.note.text}\n({_written(group.note)})"))


def _row(group: DeadLetterGroup, wide: bool) -> Row:
    newest = age(group.last_seen_at) if width() else utc(group.last_seen_at)
    total = (_short(group.total),) if wide else ()
    cells = (group.id, _short(group.open), *total, sparkline(group.hours), newest)
    places = (group.kind, group.model) if wide else ()
    failure = f"{group.reason}: {group.message}" if group.message else group.reason
    notes = () if group.note is None else (f"note: {group.note.text} ({_written(group.note)})",)
    return Row((*cells, *places), failure, where="" if wide else group.model or "", notes=notes)


def _fields(group: DeadLetterGroup) -> Iterator[tuple[str, object]]:
    yield "group", group.id
    yield "kind", group.kind
    yield "model", group.model
    yield "reason", f"{group.reason}{f' in stage {group.stage}' if group.stage else ''}"
    yield "fingerprint", group.fingerprint
    yield "open", f"{group.open:,} of {group.total:,}"
    yield "first seen", group.first_seen_at
    yield "last seen", group.last_seen_at
    yield "24 hours", f"{sparkline(group.hours)} up to {max(group.hours, default=0):,} an hour"
    yield "note", None if group.note is None else f"{group.note.text}\n({_written(group.note)})"


def _written(note: GroupNote) -> str:
    until = f", known until {utc(note.known_until)}" if note.known_until else ""
    return f"{note.by}, {utc(note.at)}{until}"


def _suspect(suspect: Suspect, examined: int) -> Row:
    """Return a row; a value that is too long for it stands below."""
    value = one_line(suspect.value)
    cells = (
        _name(suspect),
        shortened(value, VALUE_COLUMNS) if width() else value,
        f"{suspect.letters:,} of {examined:,} ({_share(suspect.share)})",
        None if suspect.usual_share is None else _share(suspect.usual_share),
        suspect.first_seen_at,
        suspect.last_seen_at,
    )
    return Row(cells, value if width() and cells[1] != value else "")


def _name(suspect: Suspect) -> str:
    return _SUSPECT_WORDS.get(suspect.kind, suspect.kind)


def _prime(group: DeadLetterGroupDetail) -> Suspect | None:
    """Return the first suspect if it has most failures, and far more of them than of other attempts."""
    first = group.suspects[0] if group.suspects else None
    if first is None or first.usual_share is None or first.share <= 0.5:
        return None
    return first if first.share >= STRIKING * first.usual_share else None


def _accusation(suspect: Suspect, examined: int) -> str:
    whole = suspect.letters == examined
    how_many = f"all {examined:,}" if whole else f"{suspect.letters:,} of {examined:,}"
    usual = _share(suspect.usual_share or 0)
    return one_line(
        f"Prime suspect: {_name(suspect)} {suspect.value} has {how_many} failures, and {usual} of the attempts of the"
        f" same hours; since {utc(suspect.first_seen_at)}."
    )


def _short(number: int) -> str:
    """Return a number in at most 7 columns: `123,456`, `1.2M`."""
    return f"{number:,}" if number < MILLION else f"{number / MILLION:.1f}M"


def _share(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 or not share else "<1%"


def _count(examined: int) -> str:
    return "1 dead letter was" if examined == 1 else f"{examined:,} dead letters were"


def _hints(group: DeadLetterGroup) -> Iterator[str]:
    """Yield what to do next, on lines of their own so that the commands can be copied."""
    yield ""
    yield f"See its dead letters:   darkroom dead-letters list --group {group.id}"
    named = f"--group {group.id}{' --kind orphan' if group.kind is LetterKind.ORPHAN else ''}"
    if group.open and group.kind is not LetterKind.UNDECODABLE:
        yield f"Try them again:         darkroom dead-letters replay {named} --ramp 1,2,5"
    if group.open:
        yield f"Give them up:           darkroom dead-letters discard {named} --reason TEXT"
    yield f"Tell your colleagues:   darkroom dead-letters note {group.id} TEXT --known-until 2h"


def _none_found(query: DeadLetterGroupQuery) -> str:
    of_kind = "" if query.kind is None else f" of kind {query.kind}"
    having = {"open": " with open dead letters", "closed": " without open dead letters"}.get(query.status or "", "")
    match = " that match" if query.model or query.text else ""
    any_status = "; --status any shows all" if query.status else ""
    return f"There are no groups{of_kind}{having}{match}{any_status}."
