"""How a command ends that meets what a worker would refuse."""

from typing import NoReturn

import click

from gpu_consumer.startup import ExitCode


def refuse(message: str, exit_code: ExitCode) -> NoReturn:
    """End as a worker would that meets the same."""
    click.echo(f"Error: {message}", err=True)
    raise click.exceptions.Exit(exit_code)
