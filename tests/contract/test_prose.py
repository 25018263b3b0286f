"""The project's prose: phrases that no tracked file may contain.

Documents, docstrings, comments and messages are written in plain English and in the field's terms. A phrase that hides
a term, or makes a reader guess at one, is listed here with what to write instead.
"""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

REPOSITORY = Path(__file__).parents[2]
SUFFIXES = {".md", ".py", ".sql", ".toml", ".yaml", ".yml"}
SKIPPED = ("bench/results/", "tests/contract/test_prose.py")
"""Recorded output, and this list."""


class Phrase(NamedTuple):
    """A forbidden phrase."""

    pattern: str
    """A regular expression, matched without regard to case. A space matches a line break too, also in a comment."""
    instead: str
    example: str


PHRASES = (
    Phrase(
        r"(?<!there)(?<!\s) (is|are|was|were) no (?!longer|more|less|later|earlier|such|(larg|small|slow|fast)er)\w",
        "is not a ...",
        "The body is no JSON",
    ),
    Phrase(r"\bso many\b(?! \w+ that\b)", "the number itself, such as `count` messages", "Wait for so many messages"),
    Phrase(r"\b(tell|tells|told|telling) (of|on)\b", "describe, report, list", "the manifest tells of these files"),
    Phrase(r"\b(is|are|was|were|be|been) told\b", "report, log, return, distinguish", "The cancel is told"),
    Phrase(r"\bwhat (the |a |an )?\w+ (tell|tells|told)\b", "the report of, the log of", "What the file tells"),
    Phrase(r"\bthe word of\b", "the report of", "by the word of the broker"),
    Phrase(r"convict", "blame, fail", "The process convicts no job"),
    Phrase(r"\bmeets? the same\b", "fails in the same way", "A worker meets the same"),
    Phrase(r"\bwants\b", "needs, requires, asks for", "a queue that wants a worker"),
    Phrase(r"\bfor ever\b", "forever, indefinitely", "It waits for ever"),
    Phrase(r"\bof (its|their|our) own making\b", "its own, generated", "a list of our own making"),
    Phrase(r"\bwhom\b", "a sentence with a named subject", "the worker whom nobody asked"),
    Phrase(r"\bwhoever\b", "any caller, the process that", "Answer whoever asks"),
    Phrase(r"\bthose who\b", "the callers that", "those who wait"),
    Phrase(r"\b(that|this) very\b", "the same", "in that very transaction"),
    Phrase(r"\bin vain\b", "without effect", "It waited in vain"),
    Phrase(r"\bmakes? do\b", "uses", "It makes do with one"),
    Phrase(r"\b(let|lets|letting) go\b", "release", "It lets go of the lock"),
    Phrase(r"\bgoes with\b", "is part of, is valid with", "The key goes with the job"),
    Phrase(r"(^|[.;:] |\*)meanwhile\b", "At the same time, or the thing's name", "It stops. Meanwhile jobs wait"),
    Phrase(r"[,;.] else (?!if\b)", "otherwise", "the row, else the default"),
    Phrase(r"\bhas to\b", "must", "The worker has to stop"),
    Phrase(r"\bwhat became of\b", "the outcome of", "Return what became of it"),
    Phrase(r"\b(know|knows|knew|hear|hears|heard) of\b", "see, receive, store", "The broker knows of it"),
    Phrase(r"(?<!\bor)(?<!\s) may not\b", "must not, cannot, might not", "A job may not run twice"),
    Phrase(r"\bis none of\b", "is not one of", "a shard that is none of the folder's"),
    Phrase(r"\bbears?\b", "tolerates, supports", "The VAE bears float16"),
    Phrase(r"\bleaves? with\b", "exits with", "The worker leaves with 70"),
    Phrase(r"\bmust be said\b", "must be set explicitly", "`cpu` must be said"),
)


def _compiled(phrase: Phrase) -> re.Pattern[str]:
    spaced = phrase.pattern.replace(" ", r"\s+(?:(?:#|--)\s+)?")
    return re.compile(spaced, re.IGNORECASE | re.MULTILINE)


COMPILED = [(_compiled(phrase), phrase.instead) for phrase in PHRASES]


def _tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    names = [name for name in listed.stdout.splitlines() if Path(name).suffix in SUFFIXES]
    return [name for name in names if not name.startswith(SKIPPED) and (REPOSITORY / name).is_file()]


def _findings(name: str) -> Iterator[str]:
    text = (REPOSITORY / name).read_text()
    for pattern, instead in COMPILED:
        for match in pattern.finditer(text):
            line = text.count("\n", 0, match.start() + len(match[0]) - len(match[0].lstrip())) + 1
            yield f"{name}:{line}: {' '.join(match[0].split())!r}; write {instead}"


def test_no_file_contains_a_forbidden_phrase() -> None:
    """Every finding is listed with its file, its line and what to write instead."""
    findings = [finding for name in _tracked() for finding in _findings(name)]
    assert not findings, "\n".join(["", *findings])


@pytest.mark.parametrize("phrase", PHRASES, ids=[phrase.example for phrase in PHRASES])
def test_each_pattern_finds_its_example(phrase: Phrase) -> None:
    """A pattern matches its example, on one line and broken over the lines of a comment."""
    pattern = _compiled(phrase)
    assert pattern.search(phrase.example)
    assert pattern.search(phrase.example.replace(" ", "\n# ")) or phrase.example.startswith("It stops.")
