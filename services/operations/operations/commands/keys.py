"""`darkroom keys create | list | revoke`."""

import re
from datetime import timedelta

import click

from darkroom.console import json_option, print_fields, print_json, print_table
from darkroom_contracts.api import Scope
from operations.commands.session import actor, with_database
from operations.keys.lifecycle import create_key, list_all_keys, revoke_key

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_DURATION = re.compile(r"([1-9][0-9]{0,4})([mhd])")


class Duration(click.ParamType[timedelta]):
    """A number of minutes, hours or days: 30m, 12h, 90d."""

    name = "duration"

    def convert(self, value: str | timedelta, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        match = _DURATION.fullmatch(value)
        if match is None:
            self.fail(f"{value!r} is not a duration; write 30m, 12h or 90d.", param, ctx)
        return timedelta(**{_UNITS[match[2]]: int(match[1])})


@click.group()
def keys() -> None:
    """Make, list and revoke API keys."""


@keys.command()
@click.option("--scope", type=click.Choice([str(scope) for scope in Scope]), required=True, help="What the key may do.")
@click.option("--name", required=True, help="Who or what will use the key.")
@click.option("--tenant", default="default", show_default=True, help="Whose jobs the key sees; made when missing.")
@click.option("--expires", type=Duration(), help="Time until the key expires, such as 90d. Default: never.")
@json_option
def create(scope: str, name: str, tenant: str, expires: timedelta | None, as_json: bool) -> None:
    """Make a key and print it. It can't be shown again."""
    made = with_database(lambda database: create_key(database, actor(), Scope(scope), name, tenant, expires))
    if as_json:
        print_json(made)
        return
    print_fields([("key", made.key), ("id", made.id), ("tenant", made.tenant), ("expires", made.expires_at or "never")])
    click.echo("Keep the key now: only its hash is stored, so it can't be shown again.", err=True)


@keys.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List all keys, without their secrets."""
    records = with_database(list_all_keys)
    if as_json:
        print_json(records)
        return
    print_table(
        ("id", "scope", "tenant", "name", "status", "created", "expires", "last used"),
        ((r.id, r.scope, r.tenant, r.name, r.status, r.created_at, r.expires_at, r.last_used_at) for r in records),
    )


@keys.command()
@click.argument("key_id", metavar="ID")
@json_option
def revoke(key_id: str, as_json: bool) -> None:
    """Revoke a key by its ID. It stops working within seconds."""
    record = with_database(lambda database: revoke_key(database, actor(), key_id))
    if as_json:
        print_json(record)
    else:
        click.echo(f"Revoked key {record.id} ({record.name}).")
