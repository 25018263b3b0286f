"""`darkroom keys create | list | rotate | revoke`."""

import os
import re
from datetime import timedelta

import click

from darkroom.commands import OPERATOR_KEY
from darkroom.console import CommandError, json_option, print_json, printable
from darkroom.desk_commands.confirming import confirm, require_terminal
from darkroom.desk_commands.key_views import described, print_keys, print_new_key
from darkroom.desk_commands.options import optional_reason_option
from darkroom.desk_commands.session import desk_api
from darkroom.parameters import Duration, WholeDays
from darkroom_contracts.api import Scope
from darkroom_contracts.api.keys import MAX_LIFETIME_DAYS, ApiKeyView, KeyStatus

_SHOW_ALL = "`darkroom keys list` shows all."
_SECRET = re.compile(rf"dk_(?:{'|'.join(Scope)})_([A-Za-z0-9]+)_[A-Za-z0-9]+")
_ID = re.compile(r"[A-Za-z0-9]{1,64}")


class KeyId(click.ParamType[str]):
    """The id of a key, or a whole key, of which only the id is sent: URLs are logged."""

    name = "id"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if key := _SECRET.fullmatch(value):
            return key[1]
        if not _ID.fullmatch(value):
            self.fail(f"This is not the id of a key; {_SHOW_ALL}", param, ctx)  # not quoted: it may be a secret
        return value


_id_argument = click.argument("key_id", metavar="ID", type=KeyId())


@click.group()
def keys() -> None:
    """Make, list, rotate and revoke API keys."""


@keys.command()
@click.option("--scope", type=click.Choice([str(scope) for scope in Scope]), required=True, help="What the key may do.")
@click.option("--name", required=True, help="Who or what will use the key.")
@click.option("--tenant", default="default", show_default=True, help="Whose jobs the key sees; made when missing.")
@click.option("--expires", type=WholeDays(), help="Time until the key expires, such as 90d. Default: never.")
@optional_reason_option
@json_option
def create(scope: str, name: str, tenant: str, expires: timedelta | None, reason: str | None, as_json: bool) -> None:
    """Make a key and print it. It can't be shown again."""
    with desk_api() as client:
        made = client.keys.create(Scope(scope), name, tenant=tenant, expires_in_days=_days(expires), reason=reason)
    if as_json:
        print_json(made)
    else:
        print_new_key(made)


@keys.command("list")
@click.option("--tenant", metavar="NAME", help="Only keys of this tenant.")
@click.option("--scope", type=click.Choice([str(scope) for scope in Scope]), help="Only keys of this scope.")
@click.option(
    "--status",
    type=click.Choice([str(status) for status in KeyStatus]),
    help="Only keys of this status; active includes expiring.",
)
@click.option(
    "--expiring-within",
    type=WholeDays(),
    metavar="TIME",
    help=f"Only keys that work, and expire within this time, such as 30d; at most {MAX_LIFETIME_DAYS}d.",
)
@json_option
def list_(
    tenant: str | None, scope: str | None, status: str | None, expiring_within: timedelta | None, as_json: bool
) -> None:
    """List the keys of all tenants, the newest first, without their secrets."""
    with desk_api() as client:
        found = list(
            client.keys.list(
                tenant=tenant,
                scope=None if scope is None else Scope(scope),
                status=None if status is None else KeyStatus(status),
                expiring_within_days=_days(expiring_within),
            )
        )
    if as_json:
        print_json(found)
    else:
        print_keys(found)


@keys.command()
@_id_argument
@click.option(
    "--overlap",
    type=Duration(),
    default="24h",
    show_default=True,
    help="Time that the old key works on, unless it expires earlier; at most 30d.",
)
@click.option("--end-now", is_flag=True, help="End the old key at once: no overlap.")
@click.option(
    "--expires", type=WholeDays(), help="Time until the new key expires. Default: as long as the old one was to live."
)
@optional_reason_option
@json_option
def rotate(
    key_id: str, overlap: timedelta, end_now: bool, expires: timedelta | None, reason: str | None, as_json: bool
) -> None:
    """Make the successor of the key ID and print it: of the same name, tenant and scope.

    The old key works for the overlap: replace it where it is used within that time.
    """
    hours = 0.0 if end_now else overlap / timedelta(hours=1)
    with desk_api(not_found=_SHOW_ALL) as client:
        made = client.keys.rotate(key_id, overlap_hours=hours, expires_in_days=_days(expires), reason=reason)
    if as_json:
        print_json(made)
        return
    print_new_key(made)
    ends = "refused from now on" if end_now else f"refused in {hours:g} hours at the latest"
    click.echo(f"The old key {key_id} is {ends}.", err=True)


@keys.command()
@_id_argument
@click.option(
    "--cancel-queued", is_flag=True, help="Cancel the key's jobs that have not ended, too. Asks to type the key's id."
)
@click.option("--yes", is_flag=True, help="Do it without asking.")
@optional_reason_option
@json_option
def revoke(key_id: str, cancel_queued: bool, yes: bool, reason: str | None, as_json: bool) -> None:
    """Revoke the key ID, which is refused within seconds. A whole key can be given too.

    The key that this command uses is revoked only after a confirmation.
    """
    is_own = _own_id() == key_id
    if cancel_queued or is_own:
        require_terminal(yes=yes)
    with desk_api(not_found=_SHOW_ALL) as client:
        if cancel_queued or is_own:
            key = next(client.keys.list(key_id=key_id), None)
            if key is None:
                raise CommandError(f"There is no key {key_id}; {_SHOW_ALL}")
            confirm(_question(key, cancel_queued, is_own), key_id, yes=yes)
        revoked = client.keys.revoke(key_id, cancel_queued=cancel_queued, reason=reason)
    if as_json:
        print_json(revoked)
        return
    click.echo(f"Revoked key {revoked.id} ({printable(revoked.name)}); it is refused within seconds.")
    if revoked.cancels_jobs:
        click.echo(
            "Its jobs are being canceled, which takes a minute or more; `darkroom keys list` shows when it is done."
        )


def _question(key: ApiKeyView, cancel_queued: bool, is_own: bool) -> str:
    ends = f"{described(key)} will be refused within seconds."
    jobs = " Its jobs that have not ended will be canceled, running ones too." if cancel_queued else ""
    own = f" It is the key that this command uses ({OPERATOR_KEY})." if is_own else ""
    return ends + jobs + own


def _own_id() -> str | None:
    own = _SECRET.fullmatch(os.environ.get(OPERATOR_KEY, ""))
    return own[1] if own else None


def _days(duration: timedelta | None) -> int | None:
    return None if duration is None else duration.days
