"""Sentences about bulk replays, and their counts."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from darkroom.console import utc
from darkroom.desk_commands.options import FILTERS
from darkroom.desk_commands.replay_options import EDITS
from darkroom_contracts.api.dead_letters import LetterScope
from darkroom_contracts.api.replays import WILL_REPLAY, BulkReplay, Ramp, ReplayEdit, ReplayStatus


class Counts(NamedTuple):
    """Dead letters of a replay."""

    planned: int
    """Those that it replays."""
    left_out: int
    """Those that planning found can't be replayed."""
    under_way: int
    succeeded: int
    failed: int
    refused: int
    """Those that could be replayed when it was planned, and could not any more when it came to them."""

    @property
    def ended(self) -> int:
        return self.succeeded + self.failed + self.refused

    @property
    def is_well(self) -> bool:
        """Whether nothing failed so far."""
        return not self.failed and not self.refused


def counts(replay: BulkReplay) -> Counts:
    """Return the counts of a replay."""
    items, planned = replay.items, replay.verdicts.get(WILL_REPLAY, 0)
    left_out = sum(replay.verdicts.values()) - planned
    return Counts(planned, left_out, items.replayed, items.succeeded, items.failed, items.refused - left_out)


def scope_text(scope: LetterScope) -> str:
    """Return which dead letters are meant: `model tiny, code out_of_memory`."""
    return ", ".join(_scope_parts(scope))


def _scope_parts(scope: LetterScope) -> Iterator[str]:
    if scope.ids is not None:
        yield "1 named" if len(scope.ids) == 1 else f"{len(scope.ids)} named"
    for option, field in FILTERS.items():
        value = getattr(scope, field)
        if value is not None:
            yield f"{option} {utc(value) if isinstance(value, datetime) else value}"


def edit_text(edit: ReplayEdit) -> str:
    """Return what an edit changes: `model tiny, steps 12`."""
    model = [] if edit.model is None else [f"model {edit.model}"]
    changed = ((option, getattr(edit.input, field, None)) for option, field in EDITS.items())
    return ", ".join(model + [f"{option.replace('_', ' ')} {value}" for option, value in changed if value is not None])


def speed_text(pace: float | None, ramp: Ramp | None) -> str:
    """Return how fast a replay is: `5 a second`, or `in stages of 1, 2, 5, 5, ...`."""
    if ramp is not None:
        return f"in stages of {', '.join(map(str, (*ramp.stages, ramp.stages[-1])))}, ..."
    return "as fast as possible" if pace is None else f"{pace:g} a second"


def stage_text(replay: BulkReplay) -> str | None:
    """Return the current stage of a ramp: `stage 2 (2 at a time)`."""
    if replay.ramp is None or replay.stage is None or replay.started_at is None:
        return None
    stages = replay.ramp.stages
    return f"stage {replay.stage} ({stages[min(replay.stage, len(stages)) - 1]} at a time)"


def progress_text(replay: BulkReplay) -> str:
    """Return how far a replay is: `3 of 42 ended, 1 under way`, and what failed."""
    found = counts(replay)
    if replay.status is ReplayStatus.PLANNING:
        return f"{found.planned + found.left_out:,} dead letters so far"
    if replay.started_at is None:
        return f"{found.planned:,} to be replayed, {found.left_out:,} left out"
    more = (
        (found.under_way, "under way", replay.status is ReplayStatus.RUNNING),
        (found.failed, "failed", False),
        (found.refused, "refused", False),
    )
    shown = [f"{number:,} {word}" for number, word, always in more if number or always]
    return ", ".join([f"{found.ended:,} of {found.planned:,} ended", *shown])


def status_text(replay: BulkReplay) -> str:
    """Return a replay's status, with the reason of a pause."""
    return f"{replay.status}: {replay.paused_reason}" if replay.paused_reason else str(replay.status)


def next_step(replay: BulkReplay) -> str | None:
    """Return the commands that help with a replay, if there are any."""
    command = f"`darkroom replays {{}} {replay.id}`"
    match replay.status:
        case ReplayStatus.PLANNING:
            return f"{command.format('start')} waits for the plan, and asks before it starts it."
        case ReplayStatus.PLANNED:
            return f"{command.format('start')} starts it, {command.format('cancel')} drops it."
        case ReplayStatus.RUNNING:
            return f"{command.format('watch')} follows it, {command.format('pause')} pauses it."
        case ReplayStatus.PAUSED:
            return f"{command.format('resume')} continues it, {command.format('cancel')} ends it."
        case ReplayStatus.FINISHED | ReplayStatus.CANCELED:
            return None
