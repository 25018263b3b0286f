"""The exit of a command that finds what a worker would refuse."""

from typing import NoReturn

import click

from gpu_consumer.startup import ExitCode


def refuse(message: str, exit_code: ExitCode) -> NoReturn:
    """Print the error and exit with a worker's exit code."""
    click.echo(f"Error: {message}", err=True)
    raise click.exceptions.Exit(exit_code)
