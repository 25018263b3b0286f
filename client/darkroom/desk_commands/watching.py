"""Following a bulk replay: a live bar on a terminal, a line from time to time elsewhere."""

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from uuid import UUID

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from darkroom.client import Client
from darkroom.console import CommandError, print_json
from darkroom.desk.replays import STILL, is_outcome_unknown
from darkroom.desk_commands.replay_texts import Counts, counts, letters_text, next_step, progress_text, stage_text
from darkroom.desk_commands.replay_views import find_items, print_items
from darkroom.desk_commands.rows import one_line
from darkroom.errors import DarkroomError
from darkroom_contracts.api.replays import BulkReplay, ItemState, ReplayStatus

LINE_SECONDS = 5.0
"""Between two lines about a replay whose status and stage stay the same."""
SHOWN_FAILURES = 5

Show = Callable[[BulkReplay], None]


def follow(client: Client, replay_id: UUID, until: Collection[ReplayStatus] = STILL) -> BulkReplay:
    """Show a replay on stderr until it has one of the statuses, and return it. It never depends on this."""
    try:
        with _display() as show:
            return client.replays.wait(replay_id, until, on_look=show)
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
        click.echo(f"Replay {replay_id} is finished: {letters_text(found.succeeded)} replayed with success.")


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


@contextmanager
def _display() -> Iterator[Show]:
    """Yield a function that shows a replay on stderr."""
    stderr = Console(stderr=True)
    if not stderr.is_terminal:
        yield Lines()
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[more]}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=stderr, transient=True, expand=True) as progress:
        task = progress.add_task("", total=None, more="")

        def show(replay: BulkReplay) -> None:
            found = counts(replay)
            progress.update(
                task,
                description=_headline(replay),
                completed=found.ended,
                total=None if replay.status is ReplayStatus.PLANNING else found.planned,
                more=_more(found),
            )

        yield show


class Lines:
    """Prints a line about a replay when its status or stage changes, and every few seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._headline = ""
        self._last = 0.0

    def __call__(self, replay: BulkReplay) -> None:
        headline, now = _headline(replay), self._clock()
        if headline != self._headline or now - self._last >= LINE_SECONDS:
            self._headline, self._last = headline, now
            click.echo(f"{headline}: {progress_text(replay)}", err=True)


def _headline(replay: BulkReplay) -> str:
    return ", ".join(filter(None, (str(replay.status), stage_text(replay))))


def _more(found: Counts) -> str:
    """Return what the bar does not show, briefly."""
    named = ((found.under_way, "under way"), (found.failed, "failed"), (found.refused, "refused"))
    return ", ".join(f"{number:,} {word}" for number, word in named if number)
