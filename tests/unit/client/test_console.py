import json

import pytest

from darkroom.console import print_fields, print_json, print_table

HOSTILE = "a\x1b[31m\x7f\x9b2J\u202eb\u2066\N{GRINNING FACE}\U000e0041\u00e9"
"""Escapes of terminals in both forms, bidirectional overrides, an invisible character, and two that can be printed."""


def test_json_escapes_what_a_terminal_interprets(capsys: pytest.CaptureFixture[str]) -> None:
    """Programs read the same value, and nothing that is not printable reaches the terminal."""
    print_json({"text": HOSTILE, "bytes": b"\x00"})
    printed = capsys.readouterr().out
    assert all(char.isprintable() or char == "\n" for char in printed)
    assert json.loads(printed) == {"text": HOSTILE, "bytes": "AA=="}
    assert "\N{GRINNING FACE}" in printed
    assert "\u00e9" in printed


def test_text_replaces_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Cells and fields show a replacement character for each."""
    print_table(["text"], [[HOSTILE]])
    print_fields([("text", HOSTILE)])
    printed = capsys.readouterr().out
    assert all(char.isprintable() or char == "\n" for char in printed)
    assert printed.count("\N{REPLACEMENT CHARACTER}") == 2 * 6
