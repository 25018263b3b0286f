"""W3C Trace Context: one id from the request that submits a job to its picture.

Header format: https://www.w3.org/TR/trace-context/#traceparent-header
"""

import re
import secrets

_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def traceparent_from(header: str | None) -> str:
    """Return the caller's `traceparent` if it is valid, otherwise a new one."""
    if header and _TRACEPARENT.fullmatch(header):
        return header
    random = secrets.token_hex(24)
    return f"00-{random[:32]}-{random[32:]}-01"


def trace_id(traceparent: str) -> str:
    """Return the trace id of a `traceparent`, 32 hexadecimal digits."""
    return traceparent[3:35]
