import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from darkroom.cli import COMMANDS, main

IMPORTS_AT_ONCE = "import absent\n"
IMPORTS_LATER = """
import click

@click.command()
def print_it():
    "Print a picture."
    import absent
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder on the import path with the distribution `darkroom-printer`, which offers `darkroom print`."""
    metadata = tmp_path / "darkroom_printer-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.4\nName: darkroom-printer\nVersion: 1\nProvides-Extra: cli\n"
    )
    (metadata / "entry_points.txt").write_text(f"[{COMMANDS}]\nprint = darkroom_printer:print_it\n")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def invoke(folder: Path, module: str, *arguments: str) -> Result:
    """Run the `darkroom` command while the module of the distribution is this one."""
    (folder / "darkroom_printer.py").write_text(module)
    sys.modules.pop("darkroom_printer", None)
    return CliRunner().invoke(main, arguments)


@pytest.mark.parametrize("module", [IMPORTS_AT_ONCE, IMPORTS_LATER])
def test_a_missing_package_is_named_with_the_extra_that_brings_it(folder: Path, module: str) -> None:
    """A command whose package is not installed says in one sentence what to install, whenever it imports it."""
    result = invoke(folder, module, "print")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "Error: `darkroom print` needs the package absent, which is not installed; "
        "run `pip install 'darkroom-printer[cli]'`.\n"
    )


def test_options_of_a_missing_command_are_not_judged(folder: Path) -> None:
    """What to install is said whatever options and arguments the missing command was given."""
    assert "darkroom-printer[cli]" in invoke(folder, IMPORTS_AT_ONCE, "print", "picture.png", "--copies", "2").stderr


def test_a_missing_package_leaves_the_help_of_the_others(folder: Path) -> None:
    """The list of commands names what is missing, and shows all others."""
    result = invoke(folder, IMPORTS_AT_ONCE, "--help")
    assert result.exit_code == 0
    shown = " ".join(result.stdout.split())
    assert "print Not installed; run `pip install 'darkroom-printer[cli]'`." in shown
    assert "  submit " in result.stdout


def test_a_defect_is_not_called_a_missing_package(folder: Path) -> None:
    """A missing module of an installed package is a defect, and is raised as it is."""
    result = invoke(folder, "import darkroom.absent\n", "print")
    assert isinstance(result.exception, ModuleNotFoundError)


def test_every_command_of_this_environment_can_be_imported() -> None:
    """All entry points of the installed distributions lead to commands."""
    for entry_point in entry_points(group=COMMANDS):
        assert entry_point.load().name
