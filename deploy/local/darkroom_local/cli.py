"""`python -m darkroom_local up | down | status | logs | model | demo`."""

import os
import shlex
import sys
from collections.abc import Callable
from functools import wraps
from io import TextIOWrapper
from subprocess import TimeoutExpired
from typing import NoReturn, ParamSpec

import click

from darkroom_local import setup, stack
from darkroom_local.blueprint import Blueprint
from darkroom_local.console import console
from darkroom_local.demo import PROMPT, render_picture
from darkroom_local.environment import ALLOWED_HOSTS
from darkroom_local.errors import LocalError
from darkroom_local.home import Home
from darkroom_local.state import State
from darkroom_local.status import look, table

P = ParamSpec("P")
INTERRUPTED = 130
"""The exit code of a command that Ctrl-C ended, as in a shell."""


@click.group()
def main() -> None:
    """Run a whole Darkroom on this machine."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # an encoding may lack the marks of steps and errors


def _reporting_errors(command: Callable[P, None]) -> Callable[P, None]:
    """Print an error as one message and exit with 1, with 130 after Ctrl-C."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except LocalError as error:
            _fail(str(error), 1)
        except (OSError, TimeoutExpired) as error:
            _fail(
                f"{error}. Check the space and the permissions of {Home.find().path}, the stack's folder;"
                " DARKROOM_HOME names another one.",
                1,
            )
        except KeyboardInterrupt:
            home = Home.find()
            _fail(
                f"Interrupted. What was started runs on: `{_make(home, 'up')}` starts the rest,"
                f" `{_make(home, 'down')}` stops all.",
                INTERRUPTED,
            )

    return run


def _fail(message: str, code: int) -> NoReturn:
    console.print(f"✗ {message}", style="red", markup=False)
    sys.exit(code)


@main.command()
@_reporting_errors
def up() -> None:
    """Start the stack and wait until it is ready."""
    home = Home.find()
    blueprint = stack.up(home)
    _print_next_steps(home, blueprint)


@main.command()
@_reporting_errors
def down() -> None:
    """Stop the stack and keep its data."""
    home = Home.find()
    stack.down(home)
    console.print(f"The stack in {home.path} is stopped.", markup=False)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@_reporting_errors
def status(as_json: bool) -> None:
    """Show every program's state, pid and readiness."""
    home = Home.find()
    found = look(str(home.path), stack.running(home))
    if as_json:
        console.print_json(data=found.as_json())
    elif found.running:
        console.print(table(found))
        console.print(f"API: {found.url}")
    else:
        console.print(f"The stack in {home.path} is not running. Start it with `{_make(home, 'up')}`.", markup=False)


@main.command()
@click.argument("programs", nargs=-1)
@click.option("-f", "--follow/--no-follow", default=None, help="Follow until Ctrl-C; the default on a terminal.")
@click.option("-n", "--lines", default=stack.LOG_LINES, show_default=True, help="Number of last lines of each log.")
@_reporting_errors
def logs(programs: tuple[str, ...], follow: bool | None, lines: int) -> None:
    """Show the logs of all programs, or of those named."""
    folder = Home.find().logs
    files = [folder / f"{name}.log" for name in programs] or sorted(folder.glob("*.log"))
    if missing := [file.stem for file in files if not file.exists()]:
        raise LocalError(f"{folder} has no log of {', '.join(missing)}. `make status` lists the programs.")
    if not files:
        raise LocalError(f"{folder} has no logs. Start the stack with `{_make(Home.find(), 'up')}`.")
    options = ["-n", str(lines), *(["-F"] if _follows(follow) else [])]
    os.execvp("tail", ["tail", *options, *(["-v"] if len(files) == 1 else []), *map(str, files)])  # noqa: S606


def _follows(follow: bool | None) -> bool:
    return sys.stdout.isatty() if follow is None else follow


@main.command()
@_reporting_errors
def model() -> None:
    """Install the models that come with the project."""
    home = Home.find()
    home.create()
    for name in setup.MODELS:
        if setup.model_is_missing(home, name):
            setup.provide_model(home, name)
        console.print(f"The model {name} is in {home.models_home / name}.", markup=False)


@main.command()
@click.option("--prompt", default=PROMPT, show_default=True, help="What the picture shows.")
@_reporting_errors
def demo(prompt: str) -> None:
    """Start the stack and render one picture through the HTTP API."""
    home = Home.find()
    blueprint = stack.up(home)
    key = State.load(home).keys["client"]
    picture = render_picture(blueprint.edge.url, key, home.pictures, prompt, blueprint.settings["DARKROOM_MODEL"])
    console.print(f"Picture:  {picture}", markup=False)
    _print_next_steps(home, blueprint)


def _print_next_steps(home: Home, blueprint: Blueprint) -> None:
    """Print the API's URL and commands that can be copied as they are."""
    env = shlex.quote(str(home.env_file))
    curl = (
        f'. {env} && curl -H "Authorization: Bearer $DARKROOM_API_KEY" -H "Content-Type: application/json"'
        """ -d '{"input": {"prompt": "three white stars on a black background"}}' $DARKROOM_URL/v1/jobs"""
    )
    console.print(f"API:      {blueprint.edge.url}", markup=False)
    console.print(f"Submit:   {curl}", markup=False)
    if allowed := blueprint.settings[ALLOWED_HOSTS]:
        console.print(f"Webhooks: may reach {allowed} as well as public hosts ({ALLOWED_HOSTS})", markup=False)
    console.print(f"Status:   {_make(home, 'status')}", markup=False)
    console.print(f"Stop:     {_make(home, 'down')}", markup=False)


def _make(home: Home, target: str) -> str:
    """Return the make command for this stack."""
    elsewhere = home != Home.default()
    return f"DARKROOM_HOME={shlex.quote(str(home.path))} make {target}" if elsewhere else f"make {target}"
