"""Following a bulk replay to its end."""

import time
from collections.abc import Collection
from uuid import UUID

import click

from darkroom.client import Client
from darkroom.console import CommandError, print_json
from darkroom.desk.replays import STILL, is_outcome_unknown
from darkroom.desk_commands.replay_display import Display, display
from darkroom.desk_commands.replay_texts import Counts, counts, next_step, progress_text
from darkroom.desk_commands.replay_views import find_items, print_items
from darkroom.desk_commands.rows import one_line
from darkroom.errors import DarkroomError
from darkroom_contracts.api.replays import BulkReplay, ItemState, ReplayStatus

PATIENCE_SECONDS = 60.0
"""How long a lost connection is tried again: longer than a service needs to restart."""
SHOWN_FAILURES = 5


def follow(client: Client, replay_id: UUID, until: Collection[ReplayStatus] = STILL) -> BulkReplay:
    """Show a replay on stderr until it has one of the statuses, and return it. It never depends on this."""
    try:
        with display() as shown:
            return _waited(client, replay_id, until, shown)
    except KeyboardInterrupt as error:
        raise CommandError(
            f"Stopped watching. Replay {replay_id} continues as it is; `darkroom replays watch {replay_id}` shows it"
            f" again, `darkroom replays pause {replay_id}` pauses it, and `cancel` ends it."
        ) from error
    except DarkroomError as error:
        if not is_outcome_unknown(error):
            raise
        raise CommandError(
            f"{error} Replay {replay_id} does not depend on this command and continues as it is; `darkroom replays"
            f" watch {replay_id}` shows it again."
        ) from error


def _waited(client: Client, replay_id: UUID, until: Collection[ReplayStatus], shown: Display) -> BulkReplay:
    """Wait for one of the statuses, through connections that are lost for a while."""
    seen = time.monotonic()

    def look(replay: BulkReplay) -> None:
        nonlocal seen
        seen = time.monotonic()
        shown.show(replay)

    while True:
        try:
            return client.replays.wait(replay_id, until, on_look=look)
        except DarkroomError as error:
            if not is_outcome_unknown(error) or time.monotonic() - seen >= PATIENCE_SECONDS:
                raise
            shown.lose()


def watch(client: Client, replay_id: UUID, *, as_json: bool) -> None:
    """Follow a replay to its end, and print it. Raises CommandError if it is paused or canceled, or if any failed."""
    replay = follow(client, replay_id)
    found = counts(replay)
    if as_json:
        print_json(replay)
    elif not found.is_well:
        _print_failures(client, replay)
    if replay.status is not ReplayStatus.FINISHED or not found.is_well:
        raise CommandError(one_line(_bad_end(replay, found)))
    if not as_json:
        click.echo(f"Replay {replay_id} is finished; all {found.succeeded:,} succeeded.")


def _print_failures(client: Client, replay: BulkReplay) -> None:
    failed = find_items(client, replay, ItemState.FAILED, SHOWN_FAILURES)
    print_items(failed or find_items(client, replay, ItemState.REFUSED, SHOWN_FAILURES))


def _bad_end(replay: BulkReplay, found: Counts) -> str:
    sentence = f"Replay {replay.id} is {replay.status}: {progress_text(replay)}."
    match replay.status:
        case ReplayStatus.PAUSED:
            return f"{sentence} {replay.paused_reason} {next_step(replay)}"
        case ReplayStatus.CANCELED:
            return f"{sentence} What it has replayed continues; the other dead letters are open as before."
        case _:
            state = ItemState.FAILED if found.failed else ItemState.REFUSED
            return f"{sentence} `darkroom replays show {replay.id} --state {state}` lists them."
