"""Headers of an endpoint, whose values need not stand on the command line."""

import os
from collections.abc import Iterator
from typing import IO, Any

import click

from darkroom.console import CommandError
from darkroom.parameters import Assignment

MAX_FILE_BYTES = 64 * 1024


def header_options(command: Any) -> Any:
    """Add the options that give headers; `headers_of` reads them."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


_OPTIONS = (
    click.option(
        "--header",
        "given",
        type=Assignment(),
        metavar="NAME=VALUE",
        multiple=True,
        help="A header of yours to send with each request; may be repeated. The shell's history keeps the value.",
    ),
    click.option(
        "--header-env",
        "variables",
        type=Assignment(),
        metavar="NAME=VARIABLE",
        multiple=True,
        help="A header with the value of an environment variable; may be repeated.",
    ),
    click.option(
        "--header-file",
        "file",
        type=click.File("rb"),
        metavar="FILE",
        help="A file with a line `NAME: VALUE` for each header; - reads them from stdin.",
    ),
)


def headers_of(
    given: tuple[tuple[str, str], ...], variables: tuple[tuple[str, str], ...], file: IO[bytes] | None
) -> dict[str, str]:
    """Return all headers that the options name. Raises CommandError, without a value in its message."""
    headers: dict[str, str] = {}
    for name, value in (*given, *_of_variables(variables), *(_of_file(file) if file else ())):
        if name.lower() in map(str.lower, headers):
            raise CommandError(f"The header {name} is given twice; give it once.")
        headers[name] = value
    return headers


def _of_variables(variables: tuple[tuple[str, str], ...]) -> Iterator[tuple[str, str]]:
    for name, variable in variables:
        if variable not in os.environ:
            raise CommandError(f"--header-env {name}: the environment variable {variable} is not set; set it first.")
        yield name, os.environ[variable]


def _of_file(file: IO[bytes]) -> Iterator[tuple[str, str]]:
    content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise CommandError(f"--header-file: {file.name} is too large; headers have 4 kB at most.")
    for number, line in enumerate(content.decode("latin-1").splitlines(), 1):
        name, separator, value = line.partition(":")
        if separator and name.strip():
            yield name.strip(), value.strip()
        elif line.strip():
            raise CommandError(f"--header-file: line {number} of {file.name} is not NAME: VALUE; correct it.")
