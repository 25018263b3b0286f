"""`darkroom migrate`."""

import asyncio

import click

from darkroom.console import CommandError, json_option, print_json
from operations.commands.session import database_settings
from operations.migrate import MigrationError
from operations.migrate import migrate as apply_migrations


@click.command()
@click.option("--wait", "wait_seconds", default=30.0, show_default=True, help="Seconds to wait for Postgres.")
@json_option
def migrate(wait_seconds: float, as_json: bool) -> None:
    """Bring the database to this version's schema."""
    try:
        applied = asyncio.run(apply_migrations(database_settings().database_url, wait_seconds))
    except MigrationError as error:
        raise CommandError(str(error)) from error
    if as_json:
        print_json([{"version": migration.version, "name": migration.name} for migration in applied])
        return
    for migration in applied:
        click.echo(f"Applied migration {migration.version} ({migration.name}).")
    if not applied:
        click.echo("The database is up to date.")
