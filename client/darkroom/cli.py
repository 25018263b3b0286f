"""The `darkroom` command. Every installed distribution may add subcommands through an entry point."""

import errno
import sys
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from io import TextIOWrapper
from typing import Any

import click

from darkroom.console import CommandError, discard_output

COMMANDS = "darkroom.commands"
"""The entry point group of the subcommands."""
EXTRA = "cli"
"""The extra of a distribution that installs what its commands import."""


class EntryPointGroup(click.Group):
    """A group whose commands are entry points, each imported when it is first needed.

    A command whose packages are not installed stays listed, and its invocation raises CommandError.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_found())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry_point = _found().get(cmd_name)
        if entry_point is None:
            return None
        try:
            command: click.Command = entry_point.load()
        except ModuleNotFoundError as error:
            if not _is_missing(error):
                raise
            return _Unavailable(entry_point, error)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            discard_output()
            raise CommandError("The output is not complete: no space is left on its device; free some.") from error
        except ModuleNotFoundError as error:
            entry_point = _found().get(ctx.invoked_subcommand or "")
            if entry_point is None or not _is_missing(error):
                raise
            raise CommandError(
                f"`darkroom {entry_point.name}` needs the package {error.name}, which is not installed; "
                f"run `pip install {_requirement(entry_point)}`."
            ) from error
        return result


class _Unavailable(click.Command):
    """A stand-in for a command that can't be imported. Its invocation raises the error of the import."""

    def __init__(self, entry_point: EntryPoint, error: ModuleNotFoundError) -> None:
        super().__init__(
            entry_point.name,
            help=f"Not installed; run `pip install {_requirement(entry_point)}`.",
            context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
        )
        self._error = error

    def invoke(self, ctx: click.Context) -> Any:
        raise self._error


@click.group(cls=EntryPointGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="darkroom-client", prog_name="darkroom")
def main() -> None:
    """Submit prompts, follow jobs, and operate a Darkroom."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # an encoding may lack what prompts and messages contain


def _found() -> dict[str, EntryPoint]:
    return {entry_point.name: entry_point for entry_point in entry_points(group=COMMANDS)}


def _is_missing(error: ModuleNotFoundError) -> bool:
    """Return whether a whole package is missing. A missing module of an installed package is a defect."""
    return error.name is not None and find_spec(error.name.partition(".")[0]) is None


def _requirement(entry_point: EntryPoint) -> str:
    """Return what to install for the command, quoted for a shell."""
    distribution = entry_point.dist
    if distribution is None:
        return entry_point.module
    extras = distribution.metadata.get_all("Provides-Extra") or []
    return f"'{distribution.name}[{EXTRA}]'" if EXTRA in extras else distribution.name
