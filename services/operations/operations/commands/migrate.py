"""`darkroom migrate`."""

import asyncio

import click

from darkroom.console import json_option, print_json
from operations.commands.session import database_settings, translated_errors
from operations.migrations.migrate import migrate as apply_migrations


@click.command()
@click.option("--wait", "wait_seconds", default=30.0, show_default=True, help="Seconds to wait for Postgres.")
@click.option(
    "--role",
    "roles",
    multiple=True,
    help="A further role that services connect as: it gets the session defaults too. May be repeated.",
)
@json_option
def migrate(wait_seconds: float, roles: tuple[str, ...], as_json: bool) -> None:
    """Bring the database to this version's schema, and its roles to their session defaults."""
    url = database_settings().direct_url
    with translated_errors():
        applied = asyncio.run(apply_migrations(url, wait_seconds, roles=roles, report=_report))
    if as_json:
        print_json([{"version": migration.version, "name": migration.name} for migration in applied])
        return
    for migration in applied:
        click.echo(f"Applied migration {migration.version} ({migration.name}).")
    if not applied:
        click.echo("The database is up to date.")


def _report(sentence: str) -> None:
    click.echo(sentence, err=True)
