"""The `darkroom` command: its subcommands come from whatever distributions are installed."""

from importlib.metadata import EntryPoint, entry_points

import click

COMMANDS = "darkroom.commands"
"""The entry point group that a distribution adds its commands to."""


class EntryPointGroup(click.Group):
    """A group whose commands are entry points, each imported only when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_found())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry_point = _found().get(cmd_name)
        if entry_point is None:
            return None
        command: click.Command = entry_point.load()
        return command


@click.group(cls=EntryPointGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="darkroom-client", prog_name="darkroom")
def main() -> None:
    """Submit prompts, follow jobs, and run a Darkroom."""


def _found() -> dict[str, EntryPoint]:
    return {entry_point.name: entry_point for entry_point in entry_points(group=COMMANDS)}
