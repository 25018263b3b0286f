"""`darkroom dead-letters export`."""

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import httpx2
import msgspec
import pytest

from tests.support.hostile import HOSTILE, assert_safe
from tests.unit.client.answers import Script, problem
from tests.unit.client.desk_commands.runner import Desk
from tests.unit.client.letter_answers import letter

EXPORT = ("dead-letters", "export")
LINE = msgspec.json.encode(letter()) + b"\n"


class Chunks(httpx2.SyncByteStream):
    """A body that arrives in chunks, and breaks off at the end if an error is given."""

    def __init__(self, *chunks: bytes, error: httpx2.TransportError | None = None, times: int = 1) -> None:
        self._chunks, self._error, self._times = chunks, error, times
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        for _ in range(self._times):
            yield from self._chunks
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        self.closed = True


def streamed(body: Chunks) -> httpx2.Response:
    return httpx2.Response(200, stream=body)


def test_lines_are_printed_as_they_are(desk: Desk) -> None:
    """However the chunks divide them, with the filters of the list."""
    body = Chunks(LINE[:10], LINE[10:] + LINE + LINE[:5], LINE[5:])
    script = Script(streamed(body))
    result = desk.run(script, *EXPORT, "--status", "any", "--code", "out_of_memory", "--since", "2026-11-21T12:00Z")
    assert (result.exit_code, result.stdout.encode(), result.stderr) == (0, LINE * 3, "")
    assert dict(script.requests[0].url.params) == {
        "status": "any",
        "reason": "out_of_memory",
        "created_after": "2026-11-21T12:00:00Z",
    }
    assert body.closed


def test_an_empty_export_is_empty(desk: Desk) -> None:
    """There may be no dead letters."""
    result = desk.run(Script(streamed(Chunks(b""))), *EXPORT)
    assert (result.exit_code, result.stdout) == (0, "")


def test_a_file_is_written_at_the_end(desk: Desk, tmp_path: Path) -> None:
    """It replaces an older one, and nothing else is left in the folder."""
    path = tmp_path / "letters.jsonl"
    path.write_text("old")
    result = desk.run(Script(streamed(Chunks(LINE, LINE))), *EXPORT, "--output", path)
    assert (result.stdout, result.stderr) == ("", f"Exported 2 dead letters to {path}.\n")
    assert path.read_bytes() == LINE * 2
    assert list(tmp_path.iterdir()) == [path]


CUT_OFF = [
    Chunks(LINE, LINE[:20]),
    Chunks(LINE, error=httpx2.RemoteProtocolError("peer closed connection without sending complete message body")),
    Chunks(LINE, error=httpx2.ReadTimeout("timed out")),
    Chunks(LINE, b"x" * (4 * 1024 * 1024), b"x"),
]


@pytest.mark.parametrize("body", CUT_OFF, ids=["line", "body", "time", "endless line"])
def test_an_export_that_is_cut_off_says_so(desk: Desk, body: Chunks) -> None:
    """The lines above are complete; the exit code is 1."""
    result = desk.run(Script(streamed(body)), *EXPORT)
    assert (result.exit_code, result.stdout.encode()) == (1, LINE)
    assert result.stderr.endswith(
        "The lines above are complete (1 dead letter), and more would follow; export again.\n"
    )
    assert body.closed


@pytest.mark.parametrize("body", CUT_OFF[:2], ids=["line", "body"])
@pytest.mark.parametrize("before", ["old", None])
def test_an_export_that_is_cut_off_leaves_the_file_as_it_was(
    desk: Desk, tmp_path: Path, body: Chunks, before: str | None
) -> None:
    """No part of it looks like the whole."""
    path = tmp_path / "letters.jsonl"
    if before is not None:
        path.write_text(before)
    result = desk.run(Script(streamed(body)), *EXPORT, "--output", path)
    assert (result.exit_code, f"{path} is as before; export again." in result.stderr) == (1, True)
    assert [file.read_text() for file in tmp_path.iterdir()] == ([] if before is None else [before])


def test_a_file_that_cannot_be_written_is_an_error(desk: Desk, tmp_path: Path) -> None:
    """In a sentence that says what to do."""
    path = tmp_path / "nowhere" / "letters.jsonl"
    result = desk.run(Script(streamed(Chunks(LINE))), *EXPORT, "--output", path)
    assert (result.exit_code, result.stderr) == (
        1,
        f"Error: {path} can't be written: No such file or directory; choose another file by --output.\n",
    )


def test_a_refusal_is_an_error_before_the_first_line(desk: Desk) -> None:
    """As of any request; a service that is away is asked again."""
    away = [problem(503, "unavailable", "Postgres is unavailable.") for _ in range(3)]
    script = Script(*away, problem(422, "invalid_request", "text: is too long"))
    result = desk.run(script, *EXPORT)
    assert (result.exit_code, result.stderr) == (1, "Error: text: is too long\n")
    assert len(script.pauses) == 3


def test_hostile_letters_are_escaped_on_stdout_and_exact_in_files(desk: Desk, tmp_path: Path) -> None:
    """Both are the same JSON; an end of line within a text divides nothing."""
    line = msgspec.json.encode(letter(HOSTILE)) + b"\n"
    path = tmp_path / "letters.jsonl"
    printed = desk.run(Script(streamed(Chunks(line, line))), *EXPORT).stdout
    desk.run(Script(streamed(Chunks(line, line))), *EXPORT, "--output", path)
    assert_safe(printed)
    assert [json.loads(each)["error"]["message"] for each in printed.splitlines()] == [HOSTILE] * 2
    assert path.read_bytes() == line * 2


def test_the_memory_does_not_grow_with_the_export(desk: Desk, tmp_path: Path) -> None:
    """50 MB pass through less than 4."""
    body = Chunks(LINE * 200, times=50_000_000 // (200 * len(LINE)))
    script = Script(streamed(body))
    tracemalloc.start()
    try:
        result = desk.run(script, *EXPORT, "--output", tmp_path / "letters.jsonl")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert result.exit_code == 0
    assert peak < 4_000_000
    assert (tmp_path / "letters.jsonl").stat().st_size > 49_000_000
