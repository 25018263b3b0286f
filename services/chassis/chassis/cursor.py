"""Cursors of lists: where a page ended, in a form that clients pass on and can't build on."""

import base64
import binascii
from collections.abc import Sequence
from uuid import UUID

from chassis.problems import ProblemError
from darkroom_contracts.errors import ApiError

NEWEST = UUID(int=(1 << 128) - 1)
"""No id is above it."""
_VERSION = b"\x01"
_LENGTH = 17
"""Bytes of a version and an id."""


class MalformedCursorError(ProblemError):
    """The text is not a cursor of the list, of this version: 422."""

    def __init__(self) -> None:
        detail = "cursor is not one that this list returned; send `next_cursor` unchanged."
        super().__init__(ApiError.INVALID_REQUEST, detail, field="cursor")


def seal(content: bytes) -> str:
    """Return bytes as a text that a URL holds unchanged."""
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def unseal(text: str) -> bytes:
    """Return the bytes of a sealed text. Raises MalformedCursorError for any text that `seal` does not return."""
    try:
        content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:  # ValueError: the text is not ASCII
        raise MalformedCursorError from error
    if seal(content) != text:  # it has padding, or bits that hold nothing
        raise MalformedCursorError
    return content


def encode_cursor(last: UUID) -> str:
    """Return the cursor of a page whose last item is `last`: 23 characters."""
    return seal(_VERSION + last.bytes)


def decode_cursor(text: str) -> UUID:
    """Return the last item of the page that a cursor follows. Raises MalformedCursorError."""
    content = unseal(text)
    if len(content) != _LENGTH or not content.startswith(_VERSION):
        raise MalformedCursorError
    return UUID(bytes=content[len(_VERSION) :])


def position(cursor: str | None) -> UUID:
    """Return the id before which a page of a list begins, the newest first. Raises MalformedCursorError."""
    return NEWEST if cursor is None else decode_cursor(cursor)


def next_cursor(seen: Sequence[UUID], shown: Sequence[UUID], limit: int, at_most: int) -> str | None:
    """Return the cursor after a page of `shown`, at most `limit`; None if it is the last one.

    The page looked at `seen`, at most `at_most`, and shows those of them that match its filters.
    """
    if not seen:
        return None
    last = shown[-1] if len(shown) == limit else seen[-1]
    return encode_cursor(last) if last != seen[-1] or len(seen) == at_most else None
