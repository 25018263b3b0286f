"""`darkroom replays`."""

from itertools import islice
from uuid import UUID

import click
import msgspec

from darkroom.console import json_option, limit_option, print_json
from darkroom.desk_commands.confirming import require_terminal
from darkroom.desk_commands.options import optional_reason_option, yes_option
from darkroom.desk_commands.replay_texts import next_step, progress_text
from darkroom.desk_commands.replay_views import find_items, print_items, print_next_step, print_replay, print_replays
from darkroom.desk_commands.session import desk_api
from darkroom.desk_commands.starting import detach_option, planned, start
from darkroom.desk_commands.watching import watch
from darkroom_contracts.api.replays import BulkReplay, ItemState, ReplayItem, ReplayStatus

_NOT_FOUND = "`darkroom replays list` shows their ids."
_id_argument = click.argument("replay_id", metavar="ID", type=click.UUID)


@click.group()
def replays() -> None:
    """See and steer replays of many dead letters, which `darkroom dead-letters replay` plans."""


@replays.command("list")
@click.option("--status", type=click.Choice([*map(str, ReplayStatus)]), help="Only replays of this status.")
@limit_option("replays, the newest first", default=20)
@json_option
def list_(status: str | None, limit: int, as_json: bool) -> None:
    """List replays, the newest first."""
    with desk_api() as client:
        shown = list(islice(client.replays.list(ReplayStatus(status) if status else None), limit))
    if as_json:
        print_json(shown)
    elif shown:
        print_replays(shown)
    else:
        click.echo(f"There are no replays{f' that are {status}' if status else ''}.")


@replays.command()
@_id_argument
@click.option("--state", type=click.Choice([*map(str, ItemState)]), help="Only dead letters in this state.")
@limit_option("dead letters; failed and refused ones come first", least=0, default=20)
@json_option
def show(replay_id: UUID, state: str | None, limit: int, as_json: bool) -> None:
    """Show a replay: how far it is, what was left out and why, and its dead letters."""
    with desk_api(not_found=_NOT_FOUND) as client:
        found = client.replays.get(replay_id)
        items = find_items(client, found, ItemState(state) if state else None, limit)
        if as_json:
            print_json(_Shown(found, items))
            return
        print_replay(client, found)
    print_items(items)
    print_next_step(found)


@replays.command("watch")
@_id_argument
@json_option
def watch_(replay_id: UUID, as_json: bool) -> None:
    """Follow a replay until it is finished, paused or canceled.

    Ctrl-C ends the command and never the replay. The exit code is 0 if all dead letters were replayed with success.
    """
    with desk_api(not_found=_NOT_FOUND) as client:
        watch(client, replay_id, as_json=as_json)


@replays.command("start")
@_id_argument
@yes_option
@detach_option
@json_option
def start_(replay_id: UUID, yes: bool, detach: bool, as_json: bool) -> None:
    """Start a planned replay once its count is typed, and follow it."""
    require_terminal(yes=yes)
    with desk_api(not_found=_NOT_FOUND) as client:
        plan = planned(client, client.replays.get(replay_id), as_json=as_json)
        start(client, plan, yes=yes, detach=detach, as_json=as_json)


@replays.command()
@_id_argument
@optional_reason_option
@json_option
def pause(replay_id: UUID, reason: str | None, as_json: bool) -> None:
    """Pause a running replay at once. What it has replayed continues."""
    with desk_api(not_found=_NOT_FOUND) as client:
        _print(client.replays.pause(replay_id, reason), as_json)


@replays.command()
@_id_argument
@optional_reason_option
@json_option
def resume(replay_id: UUID, reason: str | None, as_json: bool) -> None:
    """Resume a paused replay. The time of a ramp's stage begins again."""
    with desk_api(not_found=_NOT_FOUND) as client:
        _print(client.replays.resume(replay_id, reason), as_json)


@replays.command()
@_id_argument
@optional_reason_option
@json_option
def cancel(replay_id: UUID, reason: str | None, as_json: bool) -> None:
    """Cancel a replay at once, for good. What it has replayed continues; the other dead letters stay open."""
    with desk_api(not_found=_NOT_FOUND) as client:
        _print(client.replays.cancel(replay_id, reason), as_json)


class _Shown(msgspec.Struct):
    """What `show --json` prints."""

    replay: BulkReplay
    dead_letters: list[ReplayItem]


def _print(replay: BulkReplay, as_json: bool) -> None:
    if as_json:
        print_json(replay)
        return
    step = next_step(replay)
    sentence = f"Replay {replay.id} is {replay.status}: {progress_text(replay)}."
    click.echo(f"{sentence} {step}" if step else sentence)
