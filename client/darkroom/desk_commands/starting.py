"""Start a planned bulk replay: show its plan, have the count typed, and follow it."""

import click

from darkroom.client import Client
from darkroom.console import CommandError, print_json, utc
from darkroom.desk.replays import STILL
from darkroom.desk_commands.confirming import confirm_count
from darkroom.desk_commands.replay_texts import counts, next_step
from darkroom.desk_commands.replay_views import print_next_step, print_plan, question
from darkroom.desk_commands.session import unknown_outcome
from darkroom.desk_commands.watching import follow, watch
from darkroom.errors import ApiError
from darkroom_contracts.api.replays import BulkReplay, ReplayStatus
from darkroom_contracts.errors import ApiError as Code

detach_option = click.option("--detach", is_flag=True, help="Start the replay and return without following it.")


def planned(client: Client, replay: BulkReplay, *, as_json: bool) -> BulkReplay:
    """Wait until a replay is planned, print the plan and return it. Raises CommandError if it is not to be started."""
    found = follow(client, replay.id, STILL | {ReplayStatus.PLANNED, ReplayStatus.RUNNING})
    if found.status is not ReplayStatus.PLANNED:
        raise CommandError(_not_planned(found))
    if not as_json:
        print_plan(client, found)
    return found


def start(client: Client, plan: BulkReplay, *, yes: bool, detach: bool, as_json: bool) -> None:
    """Have the count typed, start the replay, and follow it to its end. Raises CommandError."""
    _confirm(plan, yes=yes)
    started = _started(client, plan)
    click.echo(f"Replay {plan.id} is started.", err=True)
    if not detach:
        watch(client, plan.id, as_json=as_json)
    elif as_json:
        print_json(started)
    else:
        print_next_step(started)


def _confirm(plan: BulkReplay, *, yes: bool) -> None:
    count = counts(plan).planned
    if not count:
        raise CommandError(f"None of the dead letters of replay {plan.id} can be replayed; nothing was started.")
    try:
        confirm_count(question(plan), count, yes=yes)
    except CommandError as error:
        raise CommandError(f"{error.message} The plan is kept: {next_step(plan)}") from error


def _started(client: Client, plan: BulkReplay) -> BulkReplay:
    maybe = f"Replay {plan.id} was possibly started: `darkroom replays show {plan.id}` shows whether it was."
    try:
        with unknown_outcome(maybe):
            return client.replays.start(plan.id, plan.items.pending)
    except KeyboardInterrupt as error:
        raise CommandError(f"Stopped. {maybe}") from error
    except ApiError as error:
        if error.problem.code == Code.CONFLICT:
            raise CommandError(_not_planned(client.replays.get(plan.id))) from error
        raise


def _not_planned(replay: BulkReplay) -> str:
    """Return who came first: another operator, or another command."""
    who = f"`darkroom audit --subject {replay.id}` shows by which key"
    if replay.started_at:
        return (
            f"Replay {replay.id} was started at {utc(replay.started_at)} and is {replay.status}: {who}, and"
            f" `darkroom replays watch {replay.id}` follows it."
        )
    when = f" at {utc(replay.finished_at)}" if replay.finished_at else ""
    return f"Replay {replay.id} is {replay.status}{when}, so it can't be started: {who}. Plan another one."
