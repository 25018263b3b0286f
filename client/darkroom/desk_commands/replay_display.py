"""How a bulk replay that is followed is shown on stderr: by a bar on a terminal, by lines elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from darkroom.desk_commands.replay_texts import Counts, counts, progress_text, stage_text
from darkroom_contracts.api.replays import BulkReplay, ReplayStatus

LINE_SECONDS = 5.0
"""Between two lines about a replay whose status and stage stay the same."""
LOST = "connection lost, trying again"


class Display(Protocol):
    """Shows a replay."""

    def show(self, replay: BulkReplay) -> None:
        """Show how the replay stands."""

    def lose(self) -> None:
        """Show that the connection is lost, until the replay is shown again."""


@contextmanager
def display() -> Iterator[Display]:
    """Yield what shows a replay on stderr."""
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
        yield Bar(progress)


class Bar:
    """A bar of the dead letters that have ended."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None, more="", visible=False)

    def show(self, replay: BulkReplay) -> None:
        found, is_planning = counts(replay), replay.status is ReplayStatus.PLANNING
        self._progress.update(
            self._task,
            description=_headline(replay),
            completed=found.planned + found.left_out if is_planning else found.ended,
            total=None if is_planning else found.planned,
            more=_more(found),
            visible=True,
        )

    def lose(self) -> None:
        self._progress.update(self._task, more=LOST, visible=True)


class Lines:
    """A line when the status or the stage changes, and every few seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._headline = ""
        self._last = 0.0

    def show(self, replay: BulkReplay) -> None:
        headline, now = _headline(replay), self._clock()
        if headline != self._headline or now - self._last >= LINE_SECONDS:
            self._headline, self._last = headline, now
            click.echo(f"{headline}: {progress_text(replay)}", err=True)

    def lose(self) -> None:
        if self._headline != LOST:
            self._headline = LOST
            click.echo(LOST, err=True)


def _headline(replay: BulkReplay) -> str:
    return ", ".join(filter(None, (str(replay.status), stage_text(replay))))


def _more(found: Counts) -> str:
    """Return what the bar does not show, briefly."""
    named = ((found.under_way, "under way"), (found.failed, "failed"), (found.refused, "refused"))
    return ", ".join(f"{number:,} {word}" for number, word in named if number)
