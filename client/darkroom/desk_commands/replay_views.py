"""Bulk replays as commands print them for people."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any
from uuid import UUID

import click

from darkroom.client import Client
from darkroom.console import print_fields, utc
from darkroom.desk_commands.letter_views import counted
from darkroom.desk_commands.replay_texts import (
    counts,
    edit_text,
    next_step,
    progress_text,
    scope_text,
    speed_text,
    stage_text,
    status_text,
)
from darkroom.desk_commands.rows import Row, indented, is_wide, one_line, print_rows
from darkroom_contracts.api.replays import MAX_REPLAYS, WILL_REPLAY, BulkReplay, ItemState, ReplayItem

EXAMPLES = 2
"""Dead letters that are printed for each reason why some are left out."""
MOST_SEARCHED = 1000
"""Dead letters that are looked at to find examples."""
TELLING = (ItemState.FAILED, ItemState.REFUSED, ItemState.REPLAYED, ItemState.PENDING, ItemState.SUCCEEDED)
"""States of a replay's dead letters, the most interesting first."""


def print_replays(replays: Sequence[BulkReplay]) -> None:
    """Print a list of replays."""
    wide = is_wide()
    more = ("by", "planned at") if wide else ()
    print_rows(
        ("id", "status", "ended", "failed", "left out", *more),
        (_listed(each, wide) for each in replays),
        text="dead letters",
    )


def _listed(replay: BulkReplay, wide: bool) -> Row:
    found = counts(replay)
    more = (replay.created_by, replay.created_at) if wide else ()
    ended = f"{found.ended:,}/{found.planned:,}"
    bad = found.failed + found.refused
    cells = (replay.id, replay.status, ended, f"{bad:,}", f"{found.left_out:,}", *more)
    return Row(cells, _what(replay), notes=[replay.paused_reason] if replay.paused_reason else [])


def _what(replay: BulkReplay) -> str:
    """Return what is replayed and how: `model tiny; with steps 12; 5 a second`."""
    speed = speed_text(replay.pace, replay.ramp) if replay.pace or replay.ramp else ""
    edit = f"with {edit_text(replay.edit)}" if replay.edit else ""
    return "; ".join(filter(None, (scope_text(replay.scope), edit, speed)))


def print_replay(client: Client, replay: BulkReplay) -> None:
    """Print a replay: what it is for, how far it is, and what planning left out and why."""
    print_fields(_fields(replay))
    print_verdicts(client, replay)


def _fields(replay: BulkReplay) -> Iterator[tuple[str, Any]]:
    yield "id", replay.id
    yield "status", one_line(status_text(replay))
    yield "dead letters", one_line(scope_text(replay.scope))
    if replay.edit:
        yield "edit", one_line(edit_text(replay.edit))
    yield "speed", speed_text(replay.pace, replay.ramp)
    if replay.ramp:
        yield "stage limit", f"{replay.ramp.stage_seconds:,} s"
    if stage := stage_text(replay):
        yield "stage", f"{stage}, since {utc(replay.stage_began_at)}" if replay.stage_began_at else stage
    yield "progress", progress_text(replay)
    yield "planned by", replay.created_by
    yield "planned at", replay.created_at
    if replay.reason:
        yield "reason", one_line(replay.reason)
    if replay.started_at:
        yield "started", replay.started_at
    if replay.finished_at:
        yield "ended", replay.finished_at


def print_plan(client: Client, replay: BulkReplay) -> None:
    """Print what a planned replay would do."""
    click.echo(f"Plan {replay.id}:")
    for line in indented(one_line(_what(replay))):
        click.echo(line)
    print_verdicts(client, replay)
    if missing := _missing(replay):
        click.echo(missing)
    click.echo()


def _missing(replay: BulkReplay) -> str | None:
    """Return how many of the named dead letters have no verdict."""
    named, planned = len(replay.scope.ids or ()), sum(replay.verdicts.values())
    if named <= planned:
        return None
    return f"{named - planned:,} of the {named:,} named do not exist, or do not match the filters."


def print_verdicts(client: Client, replay: BulkReplay) -> None:
    """Print how many dead letters are replayed and left out, and examples of these."""
    if not replay.verdicts:
        return
    found = examples(client, replay.id, replay.verdicts.keys() - {WILL_REPLAY})
    click.echo()
    print_rows(
        ("dead letters", "verdict"),
        (
            Row((f"{number:,}", verdict), notes=[_example(item) for item in found.get(verdict, ())])
            for verdict, number in sorted(replay.verdicts.items(), key=_replayed_first)
        ),
        text="",
        whole=True,
    )


def _replayed_first(entry: tuple[str, int]) -> tuple[bool, int]:
    verdict, number = entry
    return verdict != WILL_REPLAY, -number


def examples(client: Client, replay_id: UUID, verdicts: Iterable[str]) -> dict[str, list[ReplayItem]]:
    """Return some dead letters of each verdict, as far as a bounded search finds them."""
    found: dict[str, list[ReplayItem]] = {verdict: [] for verdict in verdicts}
    missing = set(found)
    for item in islice(client.replays.items(replay_id, ItemState.REFUSED) if missing else (), MOST_SEARCHED):
        if item.verdict in missing:
            found[item.verdict].append(item)
            if len(found[item.verdict]) == EXAMPLES:
                missing.remove(item.verdict)
                if not missing:
                    break
    return found


def _example(item: ReplayItem) -> str:
    return f"{item.letter_id}: {item.error or item.verdict}"


def find_items(client: Client, replay: BulkReplay, state: ItemState | None, limit: int) -> list[ReplayItem]:
    """Return dead letters of a replay: of one state, or of all, the most interesting states first.

    Of all, what planning left out is not one.
    """
    if state:
        return [*islice(_items(client, replay, state, limit), limit)]
    found: list[ReplayItem] = []
    for wanted in TELLING:
        if left := limit - len(found):
            items = (
                refused_late(client, replay) if wanted is ItemState.REFUSED else _items(client, replay, wanted, left)
            )
            found += islice(items, left)
    return found


def refused_late(client: Client, replay: BulkReplay) -> Iterator[ReplayItem]:
    """Yield what could be replayed when it was planned and not any more later, as far as a bounded search finds it."""
    if counts(replay).refused:
        refused = islice(client.replays.items(replay.id, ItemState.REFUSED), MOST_SEARCHED)
        yield from (item for item in refused if item.verdict == WILL_REPLAY)


def _items(client: Client, replay: BulkReplay, state: ItemState, limit: int) -> Iterator[ReplayItem]:
    if getattr(replay.items, state):
        yield from client.replays.items(replay.id, state, page_size=min(limit, MAX_REPLAYS))


def print_items(items: Sequence[ReplayItem]) -> None:
    """Print dead letters of a replay."""
    if not items:
        return
    wide = is_wide()
    more = ("job", "generation") if wide else ()
    click.echo()
    print_rows(("#", "id", "state", *more, "at"), (_item(item, wide) for item in items), text="why")


def _item(item: ReplayItem, wide: bool) -> Row:
    more = (item.job_id, item.generation) if wide else ()
    why = item.error or ("" if item.verdict == WILL_REPLAY else item.verdict)
    return Row((item.position, item.letter_id, item.state, *more, item.at), why)


def question(replay: BulkReplay) -> str:
    """Return what a start of the replay does, to be confirmed."""
    found = counts(replay)
    edit = f" with {edit_text(replay.edit)}" if replay.edit else ""
    left_out = f"; {found.left_out:,} will be left out" if found.left_out else ""
    speed = " in stages" if replay.ramp else f", {replay.pace:g} a second" if replay.pace else ""
    return one_line(f"{counted(found.planned)} will be replayed{edit}{speed}{left_out}.")


def print_next_step(replay: BulkReplay) -> None:
    """Print the commands that help with a replay on stderr, if there are any."""
    if step := next_step(replay):
        click.echo(step, err=True)
