"""A message's headers in a form that jsonb keeps without losing anything."""

import base64
import math
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any


def json_safe(value: Any) -> Any:
    """Values that JSON or jsonb can't hold become an object with one member that names their type.

    Bytes, and text with NUL or lone surrogates, become `{"base64": ...}`.
    """
    match value:
        case Mapping():
            return {_key(key): json_safe(item) for key, item in value.items()}
        case list() | tuple():
            return [json_safe(item) for item in value]
        case bytes() | bytearray():
            return {"base64": base64.b64encode(value).decode()}
        case str():
            return _text(value)
        case datetime():
            return {"timestamp": value.isoformat()}
        case Decimal():
            return {"decimal": str(value)}
        case float() if not math.isfinite(value):
            return {"float": str(value)}
        case _:
            return value


def _text(text: str) -> Any:
    encoded = text.encode("utf-8", "surrogatepass")
    if "\x00" in text or encoded.decode("utf-8", "replace") != text:
        return json_safe(encoded)
    return text


def _key(key: str) -> str:
    return key.replace("\x00", "\N{SYMBOL FOR NULL}").encode("utf-8", "replace").decode()
