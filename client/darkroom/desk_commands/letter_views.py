"""Dead letters as commands print them for people."""

from collections.abc import Sequence
from typing import Any

import click

from darkroom.console import utc
from darkroom.desk_commands.options import ANY
from darkroom.desk_commands.rows import Row, age, is_wide, print_more, print_rows, width
from darkroom_contracts.api.dead_letters import DeadLetter, DeadLetterExportQuery


def print_letters(letters: Sequence[DeadLetter], query: DeadLetterExportQuery, *, more: bool) -> None:
    """Print a list of dead letters, or a sentence if there are none. `more` says that others match too."""
    if not letters:
        click.echo(_none_found(query))
        return
    with_status, wide = query.status == ANY, is_wide()
    columns = ("id", *_names(with_status, wide))
    print_rows(columns, (_row(letter, with_status, wide) for letter in letters), text="message")
    if more:
        print_more(f"the newest {len(letters)}")


def _names(with_status: bool, wide: bool) -> list[str]:
    status = ["status"] if with_status else []
    return ["kind", *status, "reason", *(["model", "worker", "tenant"] if wide else []), "recorded"]


def _row(letter: DeadLetter, with_status: bool, wide: bool) -> Row:
    status = [letter.status] if with_status else []
    places: list[Any] = [letter.model, letter.worker, letter.tenant] if wide else []
    recorded = age(letter.created_at) if width() else utc(letter.created_at)
    cells = (letter.id, letter.kind, *status, letter.reason, *places, recorded)
    return Row(cells, letter.error.message, where=whereabouts(letter))


def whereabouts(letter: DeadLetter) -> str:
    """Return where a letter is from: `tiny on gpu-1, tenant shop`."""
    place = " on ".join(filter(None, (letter.model, letter.worker)))
    return ", ".join(filter(None, (place, letter.tenant and f"tenant {letter.tenant}")))


def counted(count: int) -> str:
    """Return a number of dead letters in words: `1 dead letter`."""
    return f"{count:,} dead letter{'' if count == 1 else 's'}"


def _none_found(query: DeadLetterExportQuery) -> str:
    of_kind = "" if query.kind is None else f" of kind {query.kind}"
    with_status = "" if query.status == ANY else f" that are {query.status}"
    filtered = any(
        getattr(query, field) is not None for field in query.__struct_fields__ if field not in ("kind", "status")
    )
    return f"There are no dead letters{of_kind}{with_status}{' and match' if filtered else ''}."
