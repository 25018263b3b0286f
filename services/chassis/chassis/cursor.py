"""Cursors of lists: where a page ended, in a form that clients pass on and can't build on."""

import base64
import binascii
from collections.abc import Sequence
from uuid import UUID

_VERSION = b"\x01"
_LENGTH = 23
"""Characters of 17 bytes in base64 without padding."""


class MalformedCursorError(ValueError):
    """The text is not a cursor of this version."""


def encode_cursor(last: UUID) -> str:
    """Return the cursor of a page whose last item is `last`: 23 characters that a URL holds unchanged."""
    return base64.urlsafe_b64encode(_VERSION + last.bytes).decode().rstrip("=")


def decode_cursor(text: str) -> UUID:
    """Return the last item of the page that a cursor follows. Raises MalformedCursorError."""
    if len(text) != _LENGTH:
        raise MalformedCursorError
    try:
        content = base64.b64decode(text + "=", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:  # ValueError: the text is not ASCII
        raise MalformedCursorError from error
    if not content.startswith(_VERSION):
        raise MalformedCursorError
    last = UUID(bytes=content[len(_VERSION) :])
    if encode_cursor(last) != text:  # the last character has two bits that hold nothing
        raise MalformedCursorError
    return last


def next_cursor(seen: Sequence[UUID], shown: Sequence[UUID], limit: int, at_most: int) -> str | None:
    """Return the cursor after a page of `shown`, at most `limit`; None if it is the last one.

    The page looked at `seen`, at most `at_most`, and shows those of them that match its filters.
    """
    if not seen:
        return None
    last = shown[-1] if len(shown) == limit else seen[-1]
    return encode_cursor(last) if last != seen[-1] or len(seen) == at_most else None
