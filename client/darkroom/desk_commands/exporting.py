"""`darkroom dead-letters export`."""

import sys
from pathlib import Path

import click

from darkroom.client import Client
from darkroom.console import CommandError, escaped, status_line
from darkroom.desk_commands.letter_views import counted
from darkroom.desk_commands.options import letter_query
from darkroom.desk_commands.session import desk_api
from darkroom.errors import CutOffError
from darkroom.files import replacing
from darkroom_contracts.api.dead_letters import DeadLetterExportQuery

_SHOWN_EVERY = 1000


@click.command()
@letter_query
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write to this file, once everything has arrived. Default: stdout.",
)
def export(query: DeadLetterExportQuery, output: Path | None) -> None:
    """Print dead letters as JSON lines, each as `list --json` has it, the newest first.

    They are streamed, however many they are. An export that was cut off exits with 1, and leaves no file.
    """
    with desk_api() as client:
        if output is None:
            _print(client, query)
        else:
            count = _save(client, query, output)
            click.echo(f"Exported {counted(count)} to {output}.", err=True)


def _print(client: Client, query: DeadLetterExportQuery) -> None:
    """Print lines as they arrive. What a terminal might interpret is escaped: it is still the same JSON."""
    count = 0
    try:
        for line in client.dead_letters.export(query):
            sys.stdout.write(escaped(line.decode()) + "\n")
            count += 1
    except CutOffError as error:
        raise CommandError(
            f"{error} The lines above are complete ({counted(count)}), and more would follow; export again."
        ) from error
    finally:
        sys.stdout.flush()


def _save(client: Client, query: DeadLetterExportQuery, output: Path) -> int:
    """Write the lines to a file, which appears or is replaced at the end alone. Return their number."""
    count = 0
    try:
        with replacing(output) as file, status_line("Exporting") as show:
            for line in client.dead_letters.export(query):
                file.write(line + b"\n")
                count += 1
                if count % _SHOWN_EVERY == 0:
                    show(f"Exporting: {counted(count)}")
    except CutOffError as error:
        raise CommandError(f"{error} {output} is as before; export again.") from error
    except OSError as error:
        raise CommandError(f"{output} can't be written: {error.strerror}; choose another file by --output.") from error
    return count
