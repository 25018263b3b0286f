"""`darkroom verify`."""

from collections.abc import Iterator
from pathlib import Path

import click

from darkroom.commands import connected, progress_bar
from darkroom.console import CommandError, json_option, print_json, printable
from darkroom.picture_files import MAX_FILE_BYTES
from darkroom.verification import Verification
from darkroom.verification import verify as verified

DIFFERENT = 1
NOT_VERIFIABLE = 2
_VERDICTS = {
    "identical": "identical: the same bytes.",
    "same_pixels": "the pixels are identical; the files differ in their metadata or compression.",
}


class NotVerified(CommandError):  # noqa: N818 - named as click names its exceptions
    """The picture could not be compared: it holds no parameters, or it could not be rendered again."""

    exit_code = NOT_VERIFIABLE


@click.command()
@click.argument("picture", type=click.Path(path_type=Path))
@json_option
def verify(picture: Path, as_json: bool) -> None:
    """Render PICTURE again and compare.

    PICTURE is a file that Darkroom rendered; the parameters come from its metadata. Exit code 0: the bytes, or at least
    the pixels, are the same. 1: pixels differ. 2: the picture could not be compared, because it holds no parameters of
    Darkroom or could not be rendered again.
    """
    try:
        data = _read(picture)
        with connected() as client, progress_bar(quiet=as_json) as show:
            found = verified(client, data, on_look=show)
    except CommandError as error:
        raise NotVerified(error.message) from error
    except KeyboardInterrupt as error:
        raise NotVerified("Stopped waiting. The picture was not compared; run the command again.") from error
    if as_json:
        print_json(found)
    else:
        click.echo(printable("\n".join(_sentences(picture, found))))
    if found.verdict == "different":
        raise SystemExit(DIFFERENT)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise CommandError(f"{path} can't be read: {error.strerror}.") from error


def _sentences(path: Path, found: Verification) -> Iterator[str]:
    yield f"{path}: {_VERDICTS.get(found.verdict) or _difference(found)}"
    yield from (f"  {changed.name} was {changed.then} and is {changed.now}" for changed in found.changed)
    if found.verdict == "different" and not found.changed:
        yield _unexplained(found)


def _difference(found: Verification) -> str:
    return f"{found.differing_pixels} of {found.pixels} pixels differ, by at most {found.largest_difference} of 255."


def _unexplained(found: Verification) -> str:
    if found.picture.origin is None:
        return "  The picture does not record what rendered it."
    return "  Model, device and libraries are the same: the picture was altered, or a GPU rendered it in a batch."
