"""Frames of messages as pamqp decodes them for the chassis."""

import struct

import aio_pika
from aiormq.abc import DeliveredMessage
from pamqp import commands, frame, header

from chassis.amqp_decoding import UNREADABLE, decode_any_message

decode_any_message()


def _received(flags: int, properties: bytes) -> aio_pika.IncomingMessage:
    """Return the message whose header frame has these properties."""
    content = struct.pack(">HHQH", 60, 0, 0, flags) + properties
    raw = struct.pack(">BHI", 2, 1, len(content)) + content + b"\xce"
    _, _, decoded = frame.unmarshal(raw)
    assert isinstance(decoded, header.ContentHeader)
    delivery = commands.Basic.Deliver("tag", 1, False, "", "key")
    return aio_pika.IncomingMessage(DeliveredMessage(delivery, decoded, b"", None), no_ack=True)  # type: ignore[arg-type]


def test_a_cut_table_costs_the_headers_alone() -> None:
    """The message is read without its headers."""
    message = _received(commands.Basic.Properties.flags["headers"], struct.pack(">I", 1000))
    assert message.headers == UNREADABLE


def test_a_text_that_is_not_utf_8_is_read() -> None:
    """Its other bytes are escaped."""
    message = _received(commands.Basic.Properties.flags["content_type"], b"\x04caf\xe9")
    assert message.content_type == "caf\\xe9"
