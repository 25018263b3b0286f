"""Lossless JSON encoding of AMQP headers, for columns of type jsonb.

A value that JSON or Postgres can't represent becomes an object with one key that starts with `$`: `$bytes` (base64),
`$timestamp` (ISO 8601), `$decimal`, `$float` (nan, inf), and `$table` (key and value pairs) for a table with keys that
start with `$`. Headers nested by the hundred are replaced by one object with the key `$unreadable`.
"""

import base64
import math
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from chassis.text import NUL

TOO_DEEP = {"$unreadable": "nested too deeply"}
"""Stands for tables nested by the hundred."""


def json_safe(value: Any) -> Any:
    """Return the JSON form of a header, or of a whole table of headers. It never raises: a message needs to be recorded
    whatever its headers are."""
    try:
        return _json_form(value)
    except RecursionError:
        return TOO_DEEP


def _json_form(value: Any) -> Any:
    match value:
        case str():
            return {"$bytes": _base64(value.encode())} if NUL in value else value
        case bytes() | bytearray():
            return {"$bytes": _base64(value)}
        case datetime():
            return {"$timestamp": value.isoformat()}
        case Decimal():
            return {"$decimal": str(value)}
        case float():
            return value if math.isfinite(value) else {"$float": str(value)}
        case Mapping():
            return _table(value)
        case list() | tuple():
            return [_json_form(item) for item in value]
    return value


def _table(table: Mapping[str, Any]) -> dict[str, Any]:
    if any(key.startswith("$") or NUL in key for key in table):
        return {"$table": [[_json_form(key), _json_form(value)] for key, value in table.items()]}
    return {key: _json_form(value) for key, value in table.items()}


def _base64(value: bytes | bytearray) -> str:
    return base64.b64encode(value).decode()
