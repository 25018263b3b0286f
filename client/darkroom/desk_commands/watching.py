"""Following a bulk replay to its end."""

import time
from collections.abc import Collection
from itertools import islice
from uuid import UUID

import click

from darkroom.client import Client
from darkroom.console import CommandError, print_json
from darkroom.desk.replays import STILL, is_outcome_unknown
from darkroom.desk_commands.replay_display import Display, display
from darkroom.desk_commands.replay_texts import Counts, counts, next_step, progress_text
from darkroom.desk_commands.replay_views import find_items, print_items, refused_late
from darkroom.desk_commands.rows import one_line
from darkroom.desk_commands.session import unknown_outcome
from darkroom.errors import DarkroomError
from darkroom_contracts.api.replays import BulkReplay, ItemState, ReplayStatus

PATIENCE_SECONDS = 60.0
"""How long a lost connection is tried again: longer than a service needs to restart."""
SHOWN_FAILURES = 5


def follow(client: Client, replay_id: UUID, until: Collection[ReplayStatus] = STILL) -> BulkReplay:
    """Show a replay on stderr until it has one of the statuses, and return it. It never depends on this."""
    again = (
        f"Replay {replay_id} does not depend on this command and continues as it is; `darkroom replays watch"
        f" {replay_id}` shows it again."
    )
    with display() as shown, unknown_outcome(again):
        watching = _Watching(replay_id, shown)
        try:
            return watching.wait(client, until)
        except KeyboardInterrupt as error:
            raise CommandError(watching.interrupted()) from error


class _Watching:
    """Waiting for a replay, through connections that are lost for a while."""

    def __init__(self, replay_id: UUID, shown: Display) -> None:
        self._replay_id = replay_id
        self._shown = shown
        self._seen_at = time.monotonic()
        self._seen: BulkReplay | None = None

    def wait(self, client: Client, until: Collection[ReplayStatus]) -> BulkReplay:
        while True:
            try:
                return client.replays.wait(self._replay_id, until, on_look=self._look)
            except DarkroomError as error:
                if not is_outcome_unknown(error) or time.monotonic() - self._seen_at >= PATIENCE_SECONDS:
                    raise
                self._shown.lose()

    def _look(self, replay: BulkReplay) -> None:
        self._seen, self._seen_at = replay, time.monotonic()
        self._shown.show(replay)

    def interrupted(self) -> str:
        """Return what Ctrl-C did, and did not."""
        if self._seen is None:
            return f"Stopped. `darkroom replays watch {self._replay_id}` shows the replay."
        if self._seen.started_at is None:
            return f"Stopped. Replay {self._replay_id} is not started; {next_step(self._seen)}"
        return f"Stopped watching. Replay {self._replay_id} continues as it is; {next_step(self._seen)}"


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
    print_items(failed or [*islice(refused_late(client, replay), SHOWN_FAILURES)])


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
