"""Decoding of every message that RabbitMQ may deliver, for pamqp, which raises for some of them.

RabbitMQ passes on what a publisher wrote: a routing key or the name of a header that is not UTF-8, a timestamp beyond
the year 9999, tables nested by the thousand. Where pamqp raises, the client closes its connection, the broker delivers
the message again on the next one, and nothing behind it is ever read.
Source: `pamqp.decode` and `aiormq.connection.FrameReceiver` of the pinned versions.
"""

import structlog
from pamqp import common, decode
from pamqp.commands import Basic

log = structlog.get_logger()

UNREADABLE = {"unreadable": "The message's properties can't be decoded."}
"""The headers of a message whose properties can't be decoded."""

_decode_properties = Basic.Properties.unmarshal


def decode_any_message() -> None:
    """Make pamqp decode what it would raise for. Calling it again changes nothing."""
    decode.METHODS["shortstr"] = _short_string
    Basic.Properties.unmarshal = _properties  # type: ignore[assignment, method-assign]


def _short_string(value: bytes) -> tuple[int, str]:
    length = int(common.Struct.byte.unpack(value[0:1])[0])
    return length + 1, value[1 : length + 1].decode(errors="backslashreplace")


def _properties(properties: Basic.Properties, flags: int, data: bytes) -> None:
    try:
        _decode_properties(properties, flags, data)
    except Exception as error:  # whatever a publisher wrote must not close the connection
        log.warning("the properties of a message can't be decoded", error=type(error).__name__)
        properties.headers = dict(UNREADABLE)
