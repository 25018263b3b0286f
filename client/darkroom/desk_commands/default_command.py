"""A group of commands that can be used as a command itself."""

import click

DEFAULT = "list"


class DefaultGroup(click.Group):
    """Runs its command `list` where no command is named: `darkroom queues`, `darkroom queues tiny --json`.

    What is called as a command is, is reached through `list`.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        known = (*self.commands, *ctx.help_option_names)
        return super().parse_args(ctx, args if args and args[0] in known else [DEFAULT, *args])
