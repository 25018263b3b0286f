import click
import pytest
from click.testing import CliRunner

from darkroom.desk_commands.default_command import DefaultGroup

group = DefaultGroup("queues")


@group.command("list")
@click.argument("model", required=False)
@click.option("--json", "as_json", is_flag=True)
def _list(model: str | None, as_json: bool) -> None:
    click.echo(f"list {model} {as_json}")


@group.command()
@click.argument("model")
def pause(model: str) -> None:
    click.echo(f"pause {model}")


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        ([], "list None False"),
        (["tiny"], "list tiny False"),
        (["--json"], "list None True"),
        (["tiny", "--json"], "list tiny True"),
        (["list", "pause"], "list pause False"),
        (["pause", "tiny"], "pause tiny"),
        (["pause", "list"], "pause list"),
    ],
)
def test_what_is_no_command_is_an_argument_of_the_list(arguments: list[str], printed: str) -> None:
    """Commands go first; a model that is called as one is reached by naming `list`."""
    assert CliRunner().invoke(group, arguments).stdout == f"{printed}\n"


def test_help_is_of_the_group() -> None:
    """It lists the commands."""
    shown = CliRunner().invoke(group, ["--help"]).stdout
    assert "pause" in shown


def test_a_wrong_option_is_explained() -> None:
    """As an option of the list."""
    result = CliRunner().invoke(group, ["--jsn"])
    assert (result.exit_code, "--jsn" in result.stderr) == (2, True)
