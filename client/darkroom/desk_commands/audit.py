"""`darkroom audit`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

import click
import msgspec

from darkroom.console import UNKNOWN, json_option, limit_option, print_json, utc
from darkroom.desk_commands.rows import Row, is_wide, print_more, print_rows
from darkroom.desk_commands.session import desk_api
from darkroom.parameters import Moment
from darkroom_contracts.api.audit import AuditEntry


@click.command()
@click.option("--actor", metavar="ID", help="Only acts of this key, or of a command: command:<user>.")
@click.option("--action", metavar="NAME", help="Only acts of this kind, such as key.revoke.")
@click.option("--subject", metavar="ID", help="Only acts on this id or name.")
@click.option("--since", type=Moment(), metavar="TIME", help="Only acts since: 30m, 2h, 3d or a time.")
@click.option("--until", type=Moment(), metavar="TIME", help="Only acts before: 30m, 2h, 3d or a time.")
@click.option("--changes", is_flag=True, help="Show what each act changed, before and after.")
@limit_option("acts, the newest first")
@json_option
def audit(
    actor: str | None,
    action: str | None,
    subject: str | None,
    since: datetime | None,
    until: datetime | None,
    changes: bool,
    limit: int,
    as_json: bool,
) -> None:
    """Show what operators did, the newest first: who, what, on what, and why."""
    with desk_api() as client:
        entries = client.audit.list(actor=actor, action=action, subject=subject, since=since, until=until)
        found = list(islice(entries, limit + 1))
    shown = found[:limit]
    if as_json:
        print_json(shown)
    elif shown:
        _print(shown, changes=changes, more=len(found) > limit)
    else:
        click.echo("There are no such acts; without filters `darkroom audit` shows the latest.")


def _print(shown: Sequence[AuditEntry], *, changes: bool, more: bool) -> None:
    wide = is_wide()
    columns = ("at", "actor", "action", *(["subject"] if wide else []))
    print_rows(columns, (_row(entry, wide, changes) for entry in shown), text="reason")
    if more:
        print_more(f"the newest {len(shown)}")


def _row(entry: AuditEntry, wide: bool, changes: bool) -> Row:
    cells = (utc(entry.at), _who(entry), entry.action, *([entry.subject] if wide else []))
    notes = _changes(entry) if changes else ()
    return Row(cells, entry.reason or "", where="" if wide else entry.subject, notes=notes)


def _who(entry: AuditEntry) -> str:
    return entry.actor if entry.actor_name is None else f"{entry.actor_name} ({entry.actor})"


def _changes(entry: AuditEntry) -> list[str]:
    """Return a line for each field that the act changed."""
    before, after = entry.before or {}, entry.after or {}
    if entry.before is None:
        return [f"{name}: {_value(after, name)}" for name in after if after[name] is not None]
    names = [*before, *(name for name in after if name not in before)]
    return [f"{name}: {_value(before, name)} -> {_value(after, name)}" for name in names]


def _value(fields: Mapping[str, Any], name: str) -> str:
    return msgspec.json.encode(fields[name]).decode() if name in fields else UNKNOWN
