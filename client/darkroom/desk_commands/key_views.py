"""API keys as commands print them for people."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import click

from darkroom.console import print_fields
from darkroom.desk_commands.rows import Row, ago, is_wide, print_rows
from darkroom_contracts.api.keys import EXPIRING_DAYS, IN_USE_DAYS, ApiKeyView, KeyStatus, NewApiKey


def print_new_key(made: NewApiKey) -> None:
    """Print a new key, which can't be shown again."""
    print_fields(
        [
            ("key", made.key),
            ("id", made.id),
            ("scope", made.scope),
            ("tenant", made.tenant),
            ("expires", made.expires_at or "never"),
        ]
    )
    click.echo("Keep the key now: only its hash is stored, so it can't be shown again.", err=True)


def print_keys(found: Sequence[ApiKeyView]) -> None:
    """Print a line for each key, and what to do about those that expire soon."""
    if not found:
        click.echo("There are no such keys; `darkroom keys create` makes one.")
        return
    wide = is_wide()
    columns = ("id", "scope", *(["tenant"] if wide else []), "status", "expires", "last used")
    print_rows(columns, (_row(key, wide) for key in found), text="name")
    _advise(found)


def described(key: ApiKeyView) -> str:
    """Return who has a key: its id, scope, tenant and name, and when it was last used."""
    used = "never used" if key.last_used_at is None else f"last used {ago(key.last_used_at)}"
    return f"Key {key.id} ({key.scope} of the tenant {key.tenant}, {key.name!r}, {used})"


def _row(key: ApiKeyView, wide: bool) -> Row:
    expires = "never" if key.expires_at is None else f"{key.expires_at:%Y-%m-%d}"
    tenant = [key.tenant] if wide else []
    cells = (key.id, key.scope, *tenant, _status(key), expires, key.last_used_at or "never")
    notes = () if key.replaced_by is None else (f"replaced by {key.replaced_by}",)
    return Row(cells, key.name, where="" if wide else f"tenant {key.tenant}", notes=notes)


def _status(key: ApiKeyView) -> str:
    if key.status == KeyStatus.EXPIRING and key.expires_at is not None:
        return f"expires in {_left(key.expires_at)}"
    if is_used_after_its_end(key):
        return "expired, in use"
    return "revoked, canceling" if key.cancels_jobs else str(key.status)


def is_used_after_its_end(key: ApiKeyView) -> bool:
    """Return whether somebody sent a key within a day, though it has expired."""
    expires, used = key.expires_at, key.last_used_at
    if key.status != KeyStatus.EXPIRED or expires is None or used is None:
        return False
    return used > max(expires, datetime.now(UTC) - timedelta(days=IN_USE_DAYS))


def _left(expires_at: datetime) -> str:
    left = max(expires_at - datetime.now(UTC), timedelta())
    return f"{left.days} d" if left.days else f"{left.seconds // 3600} h"


def _advise(found: Sequence[ApiKeyView]) -> None:
    soon = [key.id for key in found if key.status == KeyStatus.EXPIRING and key.replaced_by is None]
    late = [key.id for key in found if is_used_after_its_end(key)]
    if soon:
        click.echo(
            f"Expiring within {EXPIRING_DAYS} days: {', '.join(soon)}; `darkroom keys rotate ID` makes a successor.",
            err=True,
        )
    if late:
        click.echo(
            f"Refused because they expired, and still sent by somebody: {', '.join(late)}; `darkroom keys create` makes"
            " a new key.",
            err=True,
        )
