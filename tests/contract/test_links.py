"""The links between the documents and to the code."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
DOCUMENTS = sorted(
    file
    for pattern in ("*.md", "docs/**/*.md", "models/**/*.md", "training/**/*.md")
    for file in REPOSITORY.glob(pattern)
)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: str(file.relative_to(REPOSITORY)))
def test_every_link_leads_somewhere(document: Path) -> None:
    """A relative link names a file or folder of this repository."""
    links = [link for link in LINK.findall(document.read_text()) if not link.startswith(("http://", "https://"))]
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_a_walk_enters_each_file_once() -> None:
    """The walks of ARCHITECTURE.md never return to a file."""
    lines = (REPOSITORY / "ARCHITECTURE.md").read_text().splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("#")]
    walks = [lines[start:end] for start, end in pairwise(starts) if lines[start].startswith("### A ")]
    assert len(walks) == 6
    for walk in walks:
        steps = [link for line in walk if re.match(r"\d+\. ", line) for link in LINK.findall(line)]
        assert len(steps) > 5
        assert len(steps) == len(set(steps))
