"""`python -m darkroom_local up | down | status | logs | demo`."""

import os
import shlex
import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import click

from darkroom_local import setup, stack
from darkroom_local.blueprint import Blueprint
from darkroom_local.console import console
from darkroom_local.demo import PROMPT, render_picture
from darkroom_local.errors import LocalError
from darkroom_local.home import Home
from darkroom_local.state import State
from darkroom_local.status import look, table

P = ParamSpec("P")


@click.group()
def main() -> None:
    """Run a whole Darkroom on this machine."""


def _told(command: Callable[P, None]) -> Callable[P, None]:
    """Failures become what a person reads, and a non-zero exit."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except LocalError as error:
            console.print(f"✗ {error}", style="red", markup=False)
            sys.exit(1)

    return run


@main.command()
@_told
def up() -> None:
    """Start the stack and wait until it is ready."""
    home = Home.find()
    blueprint = stack.up(home)
    _tell(home, blueprint)


@main.command()
@_told
def down() -> None:
    """Stop the stack; its data stays."""
    home = Home.find()
    stack.down(home)
    console.print(f"Nothing of the stack in {home.path} is running.")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@_told
def status(as_json: bool) -> None:
    """Tell what runs, under which pid, and whether it is ready."""
    home = Home.find()
    found = look(str(home.path), stack.running(home))
    if as_json:
        console.print_json(data=found.as_json())
    elif found.running:
        console.print(table(found))
        console.print(f"API: {found.url}")
    else:
        console.print(f"The stack in {home.path} does not run; `{_make(home, 'up')}` starts it.")


@main.command()
@click.argument("programs", nargs=-1)
@click.option("-f", "--follow/--no-follow", default=None, help="Go on until Ctrl-C; on a terminal by default.")
@click.option("-n", "--lines", default=stack.LOG_LINES, show_default=True, help="How many lines of each to begin with.")
@_told
def logs(programs: tuple[str, ...], follow: bool | None, lines: int) -> None:
    """Show the programs' logs, all of them or those named."""
    folder = Home.find().logs
    files = [folder / f"{name}.log" for name in programs] or sorted(folder.glob("*.log"))
    if missing := [file.stem for file in files if not file.exists()]:
        raise LocalError(f"There is no log of {', '.join(missing)} in {folder}.")
    if not files:
        raise LocalError(f"There are no logs in {folder}; `make up` starts the stack.")
    options = ["-n", str(lines), *(["-F"] if _wanted(follow) else [])]
    os.execvp("tail", ["tail", *options, *(["-v"] if len(files) == 1 else []), *map(str, files)])  # noqa: S606


def _wanted(follow: bool | None) -> bool:
    return sys.stdout.isatty() if follow is None else follow


@main.command()
@_told
def model() -> None:
    """Put the models that come with the project in place."""
    home = Home.find()
    home.create()
    for name in setup.MODELS:
        if setup.model_is_missing(home, name):
            setup.provide_model(home, name)
        console.print(f"The model {name} is in {home.models_home / name}.", markup=False)


@main.command()
@click.option("--prompt", default=PROMPT, show_default=True, help="What the picture shall show.")
@_told
def demo(prompt: str) -> None:
    """Start the stack and render one picture through the HTTP API."""
    home = Home.find()
    blueprint = stack.up(home)
    key = State.load(home).keys["client"]
    picture = render_picture(blueprint.edge.url, key, home.pictures, prompt)
    console.print(f"The picture:  {picture}", markup=False)
    _tell(home, blueprint)


def _tell(home: Home, blueprint: Blueprint) -> None:
    """Say what a newcomer wants to know next; the lines may be copied as they are."""
    env = shlex.quote(str(home.env_file))
    curl = (
        f'. {env} && curl -H "Authorization: Bearer $DARKROOM_API_KEY" -H "Content-Type: application/json"'
        """ -d '{"input": {"prompt": "three white stars on a black background"}}' $DARKROOM_URL/v1/jobs"""
    )
    console.print(f"The API:      {blueprint.edge.url}", markup=False)
    console.print(f"Ask it:       {curl}", markup=False)
    console.print(f"Look at it:   {_make(home, 'status')}", markup=False)
    console.print(f"Stop it all:  {_make(home, 'down')}", markup=False)


def _make(home: Home, target: str) -> str:
    """The make command that means this stack."""
    elsewhere = home != Home.default()
    return f"DARKROOM_HOME={shlex.quote(str(home.path))} make {target}" if elsewhere else f"make {target}"
