"""docs/dead-letters.md: its situations, and what it says that commands print."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).parents[3] / "docs" / "dead-letters.md"
_BLOCK = re.compile(r"^```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MASKS = (
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|<id>"), "ID"),
    (re.compile(r"\b[A-Za-z0-9]{12}\b"), "KEY"),
    (re.compile(r"\b(?:tiny|tiny-\d+)\b"), "MODEL"),
    (re.compile(r"[\u2581-\u2588\u00b7]+"), "CHART"),
    (re.compile(r"\d+(?:[.,]\d+)*(?: (?:ms|s|min)\b)?"), "#"),
    (re.compile(r"\s+"), " "),
)
"""What differs from run to run."""


class Said(NamedTuple):
    """A command, and what it printed."""

    command: str
    output: str


def section(heading: str) -> str:
    """Return the text below the heading of a situation."""
    return PAGE.read_text().partition(f"\n### {heading}\n")[2].partition("\n### ")[0]


def headings() -> dict[str, str]:
    """Return the headings of the situations by the names of their tests."""
    return {test_name(heading): heading for heading in re.findall(r"^### (.+)$", PAGE.read_text(), re.MULTILINE)}


def test_name(heading: str) -> str:
    """Return the name of a situation's test."""
    return "test_" + re.sub(r"[^a-z0-9]+", "_", heading.lower()).strip("_")


def shown(text: str) -> list[Said]:
    """Return the commands in a part of the page, with what it says that they print."""
    commands = re.split(r"^\$ ", "".join(_BLOCK.findall(text)), flags=re.MULTILINE)[1:]
    parts = (command.partition("\n") for command in commands)
    return [Said(shlex.join(shlex.split(command)), output) for command, _, output in parts]


def differences(heading: str, said: list[Said]) -> list[str]:
    """Return the commands of a situation that were not run, and the lines that none of them printed."""
    wrong = []
    for command, output in shown(section(heading)):
        printed = "\n".join(each.output for each in said if masked(each.command) == masked(command))
        lines = {masked(line) for line in printed.splitlines()}
        missing = [line for line in _claimed(output) if masked(line) not in lines]
        wrong += [f"`{command}` did not print {missing}, but:\n{printed}"] if missing or not printed else []
    return wrong


def masked(text: str) -> str:
    """Return a text without what differs from run to run."""
    for pattern, mask in _MASKS:
        text = pattern.sub(mask, text)
    return text.strip()


def _claimed(output: str) -> list[str]:
    """Return the lines that must have been printed: all but omissions."""
    return [line for line in output.splitlines() if line.strip() not in ("", "...")]
