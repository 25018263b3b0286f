"""W3C Trace Context: one id follows a job from the request through the broker to its picture.

Header format: https://www.w3.org/TR/trace-context/#traceparent-header
"""

import re
import secrets

_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def traceparent_from(header: str | None) -> str:
    """The caller's `traceparent` where it is valid, else a new one."""
    if header and _TRACEPARENT.fullmatch(header):
        return header
    random = secrets.token_hex(24)
    return f"00-{random[:32]}-{random[32:]}-01"


def trace_id(traceparent: str) -> str:
    return traceparent[3:35]
