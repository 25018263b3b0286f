"""Options that commands of the desk share: which dead letters are meant, and why."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeAlias
from uuid import UUID

import click

from darkroom.console import CommandError
from darkroom.parameters import Moment
from darkroom_contracts.api.dead_letters import DeadLetterExportQuery, LetterScope
from darkroom_contracts.states import LetterKind, LetterStatus

Command: TypeAlias = Callable[..., Any]
Decorator: TypeAlias = Callable[[Command], Command]

ANY = "any"
FILTERS = {
    "kind": "kind",
    "model": "model",
    "tenant": "tenant",
    "code": "reason",
    "fingerprint": "fingerprint",
    "group": "group",
    "worker": "worker",
    "job": "job",
    "text": "text",
    "since": "created_after",
    "until": "created_before",
}
"""Options, and the fields of a LetterFilter that they are."""

reason_option = click.option("--reason", required=True, metavar="TEXT", help="Why, for the audit log.")
optional_reason_option = click.option("--reason", metavar="TEXT", help="Why, for the audit log.")
yes_option = click.option("--yes", is_flag=True, help="Do it without asking for the number.")
_status_option = click.option(
    "--status",
    type=click.Choice([*map(str, LetterStatus), ANY]),
    default=str(LetterStatus.OPEN),
    show_default=True,
    help="Only dead letters of this status.",
)
_ids_argument = click.argument("ids", metavar="[ID]...", nargs=-1, type=click.UUID)


def letter_query(command: Command) -> Command:
    """Give a command the filters and `--status`; it is called with `query: DeadLetterExportQuery`."""

    @wraps(command)
    def wrapped(*, status: Any, **options: Any) -> Any:
        own, chosen = _chosen(options)
        return command(query=DeadLetterExportQuery(**chosen, status=status), **own)

    return with_options(wrapped, _status_option, *_filters("--code", "--reason"))


def letter_scope(command: Command) -> Command:
    """Give a command `[ID]...` and the filters; it is called with `scope: LetterScope`, which names something."""

    @wraps(command)
    def wrapped(*, ids: tuple[UUID, ...], **options: Any) -> Any:
        own, chosen = _chosen(options)
        scope = LetterScope(**chosen, ids=[*dict.fromkeys(ids)] or None)
        if scope == LetterScope():
            raise CommandError(
                "Name the dead letters: by their IDs, or by --group, --kind or other filters;"
                " `darkroom dead-letters list` shows them."
            )
        return command(scope=scope, **own)

    return with_options(wrapped, _ids_argument, *_filters("--code"))


def named_alone(scope: LetterScope) -> UUID | None:
    """Return the id if the scope is one dead letter named by it, without filters."""
    ids = scope.ids or []
    return ids[0] if len(ids) == 1 and scope == LetterScope(ids=ids) else None


def _filters(*code_names: str) -> tuple[Decorator, ...]:
    """Return the options of a LetterFilter. `--reason` names the code too where it is not the audit log's."""
    return (
        click.option("--kind", type=click.Choice([*map(str, LetterKind), ANY]), help="Only of this kind."),
        click.option("--model", metavar="NAME", help="Only of jobs of this model."),
        click.option("--tenant", metavar="NAME", help="Only of this tenant."),
        click.option(*code_names, "code", metavar="CODE", help="Only with this reason, such as out_of_memory."),
        click.option("--fingerprint", metavar="TEXT", help="Only failures of this kind."),
        click.option("--group", type=click.UUID, metavar="ID", help="Only of this group."),
        click.option("--worker", metavar="NAME", help="Only where this worker made the last attempt."),
        click.option("--job", type=click.UUID, metavar="ID", help="Only of this job."),
        click.option("--text", help="Only with this text in the error's message; # stands for a number or an id."),
        click.option("--since", type=Moment(), metavar="TIME", help="Only recorded since: 30m, 2h, 3d or a time."),
        click.option("--until", type=Moment(), metavar="TIME", help="Only recorded before: 30m, 2h, 3d or a time."),
    )


def with_options(command: Command, *decorators: Decorator) -> Command:
    """Give a command parameters, in the order in which the help shows them."""
    for decorate in reversed(decorators):
        command = decorate(command)
    return command


def _chosen(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Divide the options of a command into its own and the fields of a LetterFilter."""
    fields = {field: options[name] for name, field in FILTERS.items()}
    fields["kind"] = None if fields["kind"] in (None, ANY) else LetterKind(fields["kind"])
    return {name: value for name, value in options.items() if name not in FILTERS}, fields
