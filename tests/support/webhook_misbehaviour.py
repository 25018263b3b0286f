"""Ways in which receivers misbehave, and what each leads to."""

import gzip
from typing import NamedTuple

from tests.support.webhook_receivers import Behaviour, answering, endless, resetting, silent
from webhooks.sending.outcome import FailureKind

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"


class Misbehaviour(NamedTuple):
    """A receiver's behaviour, and the failure it leads to, or a word of its sentence."""

    behaviour: Behaviour
    kind: FailureKind
    word: str


def _waiting(behaviour: Behaviour, stage: str) -> Misbehaviour:
    return Misbehaviour(behaviour, FailureKind.TIMEOUT, stage)


def _garbage(answer: bytes) -> Misbehaviour:
    return Misbehaviour(answering(answer), FailureKind.PROTOCOL, "not valid HTTP/1.1")


def _broken(behaviour: Behaviour) -> Misbehaviour:
    return Misbehaviour(behaviour, FailureKind.RESET, "closed the connection")


FAILURES = {
    "never answers": _waiting(silent, "response was awaited"),
    "drips a head": _waiting(endless(HEAD, b"a: b\r\n", 0.02), "response was awaited"),
    "drips a status line": _waiting(endless(b"", b"H", 0.02), "response was awaited"),
    "drips a body": _waiting(endless(HEAD + b"content-length: 999\r\n\r\n", b"x", 0.02), "body"),
    "drips a chunked body": _waiting(endless(CHUNKED, b"1\r\nx\r\n", 0.02), "body"),
    "informs for all time": Misbehaviour(endless(b"", b"HTTP/1.1 103 Early\r\n\r\n"), FailureKind.PROTOCOL, "1xx"),
    "closes without a response": _broken(answering(b"")),
    "closes within the head": _broken(answering(HEAD + b"content-le")),
    "closes within the body": _broken(answering(HEAD + b"content-length: 9\r\n\r\nab")),
    "closes within a chunk": _broken(answering(CHUNKED + b"9\r\nab")),
    "resets without a response": _broken(resetting(b"")),
    "resets within the head": _broken(resetting(HEAD)),
    "resets within the body": _broken(resetting(HEAD + b"content-length: 9\r\n\r\nab")),
    "floods headers": Misbehaviour(endless(HEAD, b"a: bbbbbbbbbbbbbbbb\r\n" * 50), FailureKind.PROTOCOL, "16 kB"),
    "floods a header": Misbehaviour(endless(HEAD + b"a: ", b"b" * 4096), FailureKind.PROTOCOL, "16 kB"),
    "floods the status line": Misbehaviour(endless(b"HTTP/1.1 200 ", b"b" * 4096), FailureKind.PROTOCOL, "16 kB"),
    "floods a chunk's head": Misbehaviour(endless(CHUNKED, b"f" * 4096), FailureKind.PROTOCOL, "not valid"),
    "speaks SSH": _garbage(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    "speaks SMTP": _garbage(b"220 mail.example ESMTP\r\n\r\n"),
    "speaks HTTP/0.9": _garbage(b"<html>hello</html>\r\n\r\n"),
    "speaks HTTP/2": _garbage(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + bytes(18) + b"\r\n\r\n"),
    "sends a TLS alert": _garbage(b"\x15\x03\x01\x00\x02\x02\x50\r\n\r\n"),
    "sends zeros": _garbage(bytes(4_000) + b"\r\n\r\n"),
    "sends a status of words": _garbage(b"HTTP/1.1 okay fine\r\n\r\n"),
    "sends a status of four digits": _garbage(b"HTTP/1.1 2000 OK\r\n\r\n"),
    "sends a header without a colon": _garbage(HEAD + b"nonsense\r\n\r\n"),
    "sends a header with NUL": _garbage(HEAD + b"a: \x00\r\n\r\n"),
    "sends a negative length": _garbage(HEAD + b"content-length: -1\r\n\r\n"),
    "sends two lengths": _garbage(HEAD + b"content-length: 1\r\ncontent-length: 2\r\n\r\nab"),
    "sends a huge length": _garbage(HEAD + b"content-length: " + b"9" * 40 + b"\r\n\r\n"),
    "sends an unknown coding": _garbage(HEAD + b"transfer-encoding: gzip\r\n\r\nab"),
    "switches protocols": _garbage(b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
    "sends a chunk without a size": _garbage(CHUNKED + b"zz\r\nab\r\n"),
}

ENDLESS = {
    "an endless body with a length": endless(HEAD + b"content-length: 99999999999\r\n\r\n", b"x" * 4096),
    "an endless body until the end": endless(HEAD + b"connection: close\r\n\r\n", b"x" * 4096),
    "an endless chunked body": endless(CHUNKED, b"1000\r\n" + b"x" * 4096 + b"\r\n"),
}
"""Responses of 200 whose body is cut."""
BOMB = gzip.compress(bytes(10_000_000))
GZIP_BOMB = HEAD + f"content-encoding: gzip\r\ncontent-length: {len(BOMB)}\r\n\r\n".encode() + BOMB
