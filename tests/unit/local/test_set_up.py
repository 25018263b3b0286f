"""The set-up of a checkout: the Makefile, the package script and the pinned versions."""

import re
import shutil
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]
ENSURE_PACKAGE = REPOSITORY / "deploy" / "local" / "ensure-package"


def test_help_lists_every_target() -> None:
    """`make help` lists every target of the Makefile."""
    targets = re.findall(r"^\.PHONY: (.+)$", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    shown = subprocess.run(("make", "help"), cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    assert {line.split()[1] for line in shown.splitlines()} == set(targets)


def test_a_machine_without_apt_gets_instructions(tmp_path: Path) -> None:
    """The message names the package, why it could not be installed and what to do, and the exit code is 1."""
    for tool in ("bash", "id"):
        (tmp_path / tool).symlink_to(str(shutil.which(tool)))
    run = subprocess.run(
        (str(ENSURE_PACKAGE), "no-such-program"),
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert run.stdout == ""
    assert run.stderr == (
        "no-such-program is missing, and this system has no apt-get. "
        "Install it (Debian: apt-get install no-such-program), then run make again.\n"
    )


def test_an_installed_package_is_left_alone(tmp_path: Path) -> None:
    """Where the program is installed, nothing is installed and nothing is printed."""
    run = subprocess.run((str(ENSURE_PACKAGE), "bash"), capture_output=True, text=True, check=True)
    assert run.stdout == run.stderr == ""


def test_every_pin_is_exact() -> None:
    """The constraints file pins each package to one version, and torch without a build's suffix."""
    lines = [line for line in (REPOSITORY / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.!]+", line) for line in lines)
    assert len({line.split("==")[0].lower() for line in lines}) == len(lines)
