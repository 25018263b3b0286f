"""`darkroom dead-letters replay`."""

from uuid import UUID

import click

from darkroom.client import Client
from darkroom.console import json_option, print_json
from darkroom.desk_commands.confirming import require_terminal
from darkroom.desk_commands.options import letter_scope, named_alone, optional_reason_option, yes_option
from darkroom.desk_commands.replay_options import Speed, edit_options, speed_options
from darkroom.desk_commands.replay_views import print_next_step
from darkroom.desk_commands.session import desk_api, unknown_outcome
from darkroom.desk_commands.starting import detach_option, planned, start
from darkroom_contracts.api.dead_letters import LetterScope
from darkroom_contracts.api.replays import BulkReplay, ReplayEdit, ReplayReply


@click.command()
@letter_scope
@edit_options
@speed_options
@click.option("--dry-run", is_flag=True, help="Plan it, print what would be replayed, and start nothing.")
@optional_reason_option
@yes_option
@detach_option
@json_option
def replay(
    scope: LetterScope,
    edit: ReplayEdit | None,
    speed: Speed,
    dry_run: bool,
    reason: str | None,
    yes: bool,
    detach: bool,
    as_json: bool,
) -> None:
    """Replay open dead letters: queue their jobs again, or send their webhooks again.

    One dead letter that is named by its ID is replayed at once. Several, a group, or those that match filters are
    planned first: the plan says which of them can be replayed and why others can't, and is started once its count is
    typed. An orphan's job is made again from its message. Without --kind or IDs orphans are left out, and without IDs
    those whose job or webhook came back twice before.
    """
    alone = named_alone(scope)
    with desk_api(not_found="`darkroom dead-letters list` shows them.") as client:
        if alone and speed == Speed() and not dry_run:
            _replay_one(client, alone, edit, reason, as_json)
        else:
            _replay_many(client, scope, edit, speed, reason, dry_run=dry_run, yes=yes, detach=detach, as_json=as_json)


def _replay_one(client: Client, letter_id: UUID, edit: ReplayEdit | None, reason: str | None, as_json: bool) -> None:
    with unknown_outcome(f"`darkroom dead-letters show {letter_id}` shows whether it was replayed."):
        replayed = client.replays.replay_letter(letter_id, edit=edit, reason=reason)
    if as_json:
        print_json(replayed)
    else:
        click.echo(_result(replayed))


def _result(replayed: ReplayReply) -> str:
    if replayed.job_id:
        return f"Job {replayed.job_id} is queued again, as generation {replayed.generation}."
    waits = ", and waits until its endpoint is resumed" if replayed.endpoint_paused else ""
    return f"Delivery {replayed.delivery_id} is due again{waits}."


def _replay_many(
    client: Client,
    scope: LetterScope,
    edit: ReplayEdit | None,
    speed: Speed,
    reason: str | None,
    *,
    dry_run: bool,
    yes: bool,
    detach: bool,
    as_json: bool,
) -> None:
    require_terminal(yes=yes or dry_run)
    plan = planned(client, _asked(client, scope, edit, speed, reason), as_json=as_json)
    if not dry_run:
        start(client, plan, yes=yes, detach=detach, as_json=as_json)
    elif as_json:
        print_json(plan)
    else:
        print_next_step(plan)


def _asked(client: Client, scope: LetterScope, edit: ReplayEdit | None, speed: Speed, reason: str | None) -> BulkReplay:
    with unknown_outcome("Nothing is replayed; `darkroom replays list` shows whether it was planned."):
        return client.replays.plan(scope, edit=edit, pace=speed.pace, ramp=speed.ramp, reason=reason)
