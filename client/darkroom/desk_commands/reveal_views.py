"""The hidden parts of a dead letter as `darkroom dead-letters reveal` prints them. All of it may come from outside."""

import textwrap
from collections.abc import Iterator, Sequence

import click

from darkroom.console import indented_json, printable
from darkroom_contracts.api.dead_letters import Revealed, RevealedAttempt

SHOWN_CHARACTERS = 16_384
"""Most characters of a part that are printed."""
SHOWN_BYTES = 512
"""Most bytes that are printed as such: of a message that is not text."""
_INDENT = "  "
_BYTES_IN_LINE = 16
_REST = "--json prints all of it"


def print_revealed(revealed: Revealed) -> None:
    """Print each part under a heading: text with its control characters replaced, bounded, and indented.

    So no part can look like the heading of another.
    """
    parts = [*_parts(revealed)]
    if not parts:
        click.echo("Nothing of this dead letter is hidden.")
    for number, (heading, text) in enumerate(parts):
        click.echo(("\n" if number else "") + click.style(printable(heading), bold=True))
        click.echo(textwrap.indent(printable(_bounded(text)), _INDENT, lambda _: True))


def _parts(revealed: Revealed) -> Iterator[tuple[str, str]]:
    yield from _message(revealed)
    for heading, value in (
        ("headers", revealed.headers),
        ("x-death, by the broker", revealed.x_death),
        ("input, as submitted", revealed.input),
        ("edits of the input", revealed.overrides),
        ("metadata", revealed.metadata),
    ):
        if value not in (None, {}, []):
            yield heading, indented_json(value)
    if revealed.url is not None:
        yield "webhook URL", revealed.url
    for attempt in revealed.attempts:
        yield from _attempt(attempt)
    yield from _answers(revealed.attempts)


def _message(revealed: Revealed) -> Iterator[tuple[str, str]]:
    """Yield the message: decoded, or else as text, or else as bytes."""
    if revealed.body is None:
        return
    size = f"{revealed.body_bytes or 0:,} bytes"
    if revealed.message is not None:
        yield f"message, decoded from {size}", indented_json(revealed.message)
    elif revealed.text is not None:
        yield f"message, {size} of text", revealed.text
    else:
        yield f"message, {size} that are not text", _dump(revealed.body, revealed.body_bytes or 0)


def _attempt(attempt: RevealedAttempt) -> Iterator[tuple[str, str]]:
    generation = "" if attempt.generation is None else f"generation {attempt.generation}, "
    name = f"{generation}attempt {attempt.attempt}"
    if attempt.cause is not None:
        yield f"{name}: cause", attempt.cause
    if attempt.last_lines:
        yield f"{name}: last lines of the render process", "\n".join(attempt.last_lines)


def _answers(attempts: Sequence[RevealedAttempt]) -> Iterator[tuple[str, str]]:
    """Yield what the receiver answered, the latest first and equal answers once, within a bound for all."""
    numbers: dict[bytes, list[int]] = {}
    for attempt in attempts:
        if attempt.response:
            numbers.setdefault(attempt.response, []).append(attempt.attempt)
    left = SHOWN_CHARACTERS
    for response in sorted(numbers, key=lambda response: -numbers[response][-1]):
        yield f"answer to {_named(numbers[response])}", _answer(response, left)
        left = max(0, left - len(response))


def _answer(response: bytes, left: int) -> str:
    more = f"({len(response) - left:,} bytes more; {_REST}, as base64.)" if len(response) > left else ""
    return "\n".join(filter(None, (response[:left].decode(errors="backslashreplace"), more)))


def _named(numbers: Sequence[int]) -> str:
    """Return "attempts 1, 2, 5-8" for numbers in ascending order."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    shown = ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
    return f"attempt {shown}" if len(numbers) == 1 else f"attempts {shown}"


def _bounded(text: str) -> str:
    """Return the text, shortened where it is longer than people read in a terminal."""
    left = len(text) - SHOWN_CHARACTERS
    return text if left <= 0 else f"{text[:SHOWN_CHARACTERS]}\n({left:,} characters more; {_REST}.)"


def _dump(body: bytes, size: int) -> str:
    """Return the beginning of the bytes in lines of 16, each with its offset, in hexadecimal and as ASCII."""
    lines = [_dumped(body, start) for start in range(0, min(len(body), SHOWN_BYTES), _BYTES_IN_LINE)]
    left = size - SHOWN_BYTES
    return "\n".join(lines) + (f"\n({left:,} bytes more; {_REST}, as base64.)" if left > 0 else "")


def _dumped(body: bytes, start: int) -> str:
    part = body[start : start + _BYTES_IN_LINE]
    characters = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in part)
    return f"{start:08x}  {part.hex(' '):<{_BYTES_IN_LINE * 3}} {characters}"
